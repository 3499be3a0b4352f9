//! Which backend drives a rebalance: an object for the operator, or EMQX's own API.

use crate::error::Problem;
use crate::model::{ApiVersion, Backend, BackendRequest, Instance, InstanceKind, OperatorLine, Served};
use crate::plan::operator::{Evidence, OperatorProcess};

/// Who drives a rebalance of this instance, and why. `process` is what the operator's Lease shows, where it may be read.
pub(crate) fn backend(
    asked: BackendRequest,
    served: &Served,
    instance: &Instance,
    process: Option<Evidence>,
) -> Result<(Backend, String), Problem> {
    if instance.id.kind == InstanceKind::EmqxBroker {
        return Err(Problem::refused(
            format!("cannot rebalance {}", instance.id),
            "EMQX open source 4 has no rebalance; it came with the Enterprise edition",
        ));
    }
    let object = object_served(served, instance);
    let gone = process.filter(|it| it.process == OperatorProcess::Gone).map(Evidence::cause);
    match (asked, object) {
        (BackendRequest::Emqx, _) => Ok((Backend::Emqx, "as asked with --backend emqx".to_owned())),
        (BackendRequest::Rebalance, Err(why)) => Err(Problem::new("cannot create a Rebalance", why)
            .hint(format!("kubectl emqx rebalance apply {} --backend emqx", instance.id.name))),
        (BackendRequest::Rebalance, Ok(why)) => Ok((
            Backend::Rebalance,
            match gone {
                Some(gone) => format!("{why}, but {gone}"),
                None => why,
            },
        )),
        (BackendRequest::Auto, Ok(why)) => Ok(match gone {
            Some(gone) => (Backend::Emqx, gone),
            None => (Backend::Rebalance, why),
        }),
        (BackendRequest::Auto, Err(why)) => Ok((Backend::Emqx, why)),
    }
}

/// Whether an operator is there that takes a Rebalance of this instance; the reason either way.
fn object_served(served: &Served, instance: &Instance) -> Result<String, String> {
    if instance.standalone {
        return Err("Kubernetes has no EMQX object for it".to_owned());
    }
    if served.version_of("rebalances").is_none() {
        return Err(match served.operator {
            OperatorLine::Three => "operator 3.x has no Rebalance kind".to_owned(),
            OperatorLine::None => "no EMQX Operator serves this cluster".to_owned(),
            _ => "the kind Rebalance is not served here".to_owned(),
        });
    }
    if served.version_of("rebalances") == Some("v1beta4") && instance.id.kind != InstanceKind::EmqxEnterprise
    {
        return Err(
            "the kind Rebalance is served in v1beta4 alone, which can only name an EmqxEnterprise".to_owned()
        );
    }
    if instance.api == ApiVersion::V1beta4 && served.operator != OperatorLine::Two2 {
        return Err(format!("operator {} does not manage EmqxEnterprise v1beta4", served.operator));
    }
    Ok(format!("operator {} serves the kind Rebalance", served.operator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixtures;

    fn served(operator: OperatorLine, rebalance: bool) -> Served {
        let kinds = if rebalance { vec![("rebalances".into(), "v2beta1".into())] } else { Vec::new() };
        Served { operator, kinds, ..Served::default() }
    }

    #[test]
    fn no_object_is_created_for_an_operator_whose_process_stopped() {
        let emqx = fixtures::instance(ApiVersion::V2beta1);
        let of = |asked, process| {
            let evidence = Evidence { process, lease_seconds: 600 };
            backend(asked, &served(OperatorLine::Two2, true), &emqx, Some(evidence)).expect("a backend")
        };
        let (driven, why) = of(BackendRequest::Auto, OperatorProcess::Gone);
        assert_eq!(driven, Backend::Emqx);
        assert_eq!(why, "the operator's process is gone: its Lease was last renewed 10m ago");
        let (driven, why) = of(BackendRequest::Rebalance, OperatorProcess::Gone);
        assert_eq!(driven, Backend::Rebalance, "as asked");
        assert!(why.contains("but the operator's process is gone"), "{why}");
        assert_eq!(of(BackendRequest::Auto, OperatorProcess::Running).0, Backend::Rebalance);
    }

    #[test]
    fn the_object_is_used_where_an_operator_takes_it() {
        let emqx = fixtures::instance(ApiVersion::V2beta1);
        let (backend, _) =
            backend(BackendRequest::Auto, &served(OperatorLine::Two2, true), &emqx, None).expect("a backend");
        assert_eq!(backend, Backend::Rebalance);
    }

    #[test]
    fn without_the_kind_emqx_is_driven_and_the_object_is_an_error() {
        let emqx = fixtures::instance(ApiVersion::V3beta1);
        let served = served(OperatorLine::Three, false);
        let (driven, why) = backend(BackendRequest::Auto, &served, &emqx, None).expect("a backend");
        assert_eq!((driven, why.as_str()), (Backend::Emqx, "operator 3.x has no Rebalance kind"));
        let refused = backend(BackendRequest::Rebalance, &served, &emqx, None).expect_err("not served");
        assert_eq!(refused.exit, crate::error::Exit::Error);
    }

    #[test]
    fn an_old_enterprise_object_under_a_new_operator_has_no_operator() {
        let old = fixtures::instance(ApiVersion::V1beta4);
        let (driven, _) =
            backend(BackendRequest::Auto, &served(OperatorLine::Two3, true), &old, None).expect("a backend");
        assert_eq!(driven, Backend::Emqx);
    }
}
