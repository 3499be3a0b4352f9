//! Names and addresses that the simulated Kubernetes gives; the same in each run.

/// The address of the pod with this number.
pub(crate) fn address(number: usize) -> String {
    let place = number % 60_000 + 7;
    format!("10.244.{}.{}", place / 250, place % 250 + 1)
}

/// A hash as Kubernetes and the operators put it into names: FNV-1a, its decimal digits in letters that form
/// no words.
pub(crate) fn hash(text: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let sum =
        text.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    sum.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// Five letters as Kubernetes appends them to generated names; different for each number, the same in each
/// run.
pub(crate) fn suffix(number: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let base = LETTERS.len() as u64;
    // A multiplication by a number prime to 27^5 is a permutation: two numbers never have the same result.
    let mut mixed = (number + 11).wrapping_mul(7_654_321) % base.pow(5);
    let mut text = String::with_capacity(5);
    for _ in 0..5 {
        text.push(char::from(LETTERS[(mixed % base) as usize]));
        mixed /= base;
    }
    text
}
