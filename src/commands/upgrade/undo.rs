//! `upgrade undo`: changes the image back; refused where the end of the upgrade is unknown.

use super::change::{UpgradeChange, carry_out};
use super::prepare::UpgradeInput;
use crate::cli::intent::upgrade::UpgradeUndo;
use crate::commands::{CommandContext, cluster_view};
use crate::error::{Cause, Problem};
use crate::model::image::Image;
use crate::model::limits::Limits;
use crate::model::upgrade::{UpgradeRequest, Wanted};
use crate::model::{InstanceId, Link, World};
use crate::plan::upgrade::undo::{target, undo};
use crate::ports::RefreshScope;

/// Changes the image back, without following the rollback.
pub(crate) async fn roll_back(
    context: &CommandContext,
    intent: &UpgradeUndo,
) -> Result<UpgradeChange, Problem> {
    let cluster = cluster_view::load_one(context, intent.instance.as_ref(), RefreshScope::ALL).await?;
    let id = &cluster.id;
    let image = match &intent.to {
        Some(image) => image.clone(),
        None => match target(&cluster.world, id) {
            Some(image) => Image::parse(&image)?,
            None => return Err(no_image(&cluster.world, id)),
        },
    };
    let Some(back) = undo(&cluster.world, id) else {
        return Err(Problem::new(format!("{id} is gone"), ""));
    };
    let ask = UpgradeRequest::new(Wanted::Image(image));
    let request = UpgradeInput {
        ask: &ask,
        force: intent.force,
        skip: &intent.skip,
        manager: &intent.write.field_manager,
        reason: intent.write.reason.as_deref(),
        back: Some(&back),
    };
    Box::pin(carry_out(context, cluster, request, &Limits::default(), &intent.write, &intent.then)).await
}

/// Why the previous image is unknown. A forbidden list is not reported as "none".
fn no_image(world: &World, id: &InstanceId) -> Problem {
    let what = format!("cannot roll back {id}");
    let hint = format!("kubectl emqx upgrade undo {} --to IMAGE", id.name);
    let of = ["statefulsets", "replicasets", "configmaps", "pods"];
    let hidden = of.into_iter().find_map(|resource| cluster_view::unlisted(world, resource));
    match hidden {
        Some(link) => {
            let why = link.why().unwrap_or("they cannot be listed");
            let problem = Problem::new(what, format!("the image before is not known: {why}"));
            let forbidden = matches!(link, Link::Forbidden(_));
            let problem = if forbidden { problem.cause(Cause::Forbidden) } else { problem };
            problem.hint(hint)
        }
        None => Problem::refused(what, "no other set is left from which the image before could be read")
            .hint(hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use crate::model::{ApiVersion, Object, Source, Update};
    use crate::plan::fixtures;

    #[test]
    fn an_undo_that_may_not_list_names_the_missing_permission_and_does_not_report_none() {
        let instance = fixtures::instance(ApiVersion::V2beta1);
        let id = instance.id.clone();
        let mut world =
            World::of([fixtures::fact(0, Update::Upserted(Object::Instance(Box::new(instance))))]);
        assert_eq!(target(&world, &id), None);
        let none = no_image(&world, &id);
        assert_eq!(none.exit, Exit::Refused);
        assert!(none.why.contains("no other set is left"), "{none:?}");
        for resource in ["statefulsets", "replicasets", "configmaps", "pods"] {
            let why = format!("user u may not list {resource}");
            let link = Update::Link(Source::Kubernetes, resource, Link::Forbidden(why.clone()));
            let mut world = world.clone();
            world.apply(fixtures::fact(1, link));
            let problem = no_image(&world, &id);
            assert_eq!((problem.cause, problem.exit), (Cause::Forbidden, Exit::Error), "{resource}");
            assert!(problem.why.contains(&why), "{resource}: {problem:?}");
            assert_eq!(problem.hint.as_deref(), Some("kubectl emqx upgrade undo emqx --to IMAGE"));
        }
        // A list that failed for another reason is not reported as "none" either.
        let link = Update::Link(Source::Kubernetes, "replicasets", Link::Unreachable("timed out".to_owned()));
        world.apply(fixtures::fact(1, link));
        let problem = no_image(&world, &id);
        assert!(problem.why.contains("timed out") && problem.exit == Exit::Error, "{problem:?}");
    }
}
