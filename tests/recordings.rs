//! The recordings of the real operator, told to their verdicts.
