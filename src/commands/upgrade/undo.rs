//! `upgrade undo`: back to an image from before, followed to its end; refused where that end is not known.

use super::apply::carry_out;
use super::prepare::Wish;
use crate::cli::intent::upgrade::Undo as Intent;
use crate::commands::{Hands, Outcome, gather};
use crate::error::Problem;
use crate::model::image::Image;
use crate::model::upgrade::{Ask, Wanted};
use crate::plan::upgrade::undo::{target, undo};
use crate::seam::Want;

/// `upgrade undo`.
pub(super) async fn run(hands: &Hands, intent: &Intent) -> Outcome {
    let gathered = gather::one(hands, intent.instance.as_ref(), Want::ALL).await?;
    let id = &gathered.id;
    let image = match &intent.to {
        Some(image) => image.clone(),
        None => match target(&gathered.world, id) {
            Some(image) => Image::parse(&image)?,
            None => {
                return Err(Problem::refused(
                    format!("cannot turn back {id}"),
                    "no other set is left that would tell the image before",
                )
                .hint(format!("kubectl emqx upgrade undo {} --to IMAGE", id.name)));
            }
        },
    };
    let Some(back) = undo(&gathered.world, id) else {
        return Err(Problem::new(format!("{id} is gone"), ""));
    };
    let ask = Ask::new(Wanted::Image(image));
    let wish = Wish {
        ask: &ask,
        force: intent.force,
        skip: &intent.skip,
        manager: &intent.write.field_manager,
        reason: intent.write.reason.as_deref(),
        back: Some(&back),
    };
    carry_out(hands, gathered, wish, &intent.write, &intent.then).await
}
