//! The permissions that a drain or a scale needs.

use crate::commands::CommandContext;
use crate::ports::Right;

/// The first of these permissions that is missing, as a sentence; a failed review refuses nothing.
pub(in crate::commands) async fn forbidden(context: &CommandContext, rights: &[Right]) -> Option<String> {
    let answers = context.kubernetes.may(rights).await.unwrap_or_default();
    let (right, _) = rights.iter().zip(answers).find(|(_, answer)| *answer == Some(false))?;
    Some(format!("you may not {}", right.sentence()))
}
