//! The checks of an upgrade that depend on versions: what the operator's webhook refuses, downgrades, known
//! defects.

use crate::model::ApiVersion;
use crate::model::image::{EmqxVersion, Image};
use crate::plan::emqx_defects;
use crate::plan::finding::Finding;
use crate::plan::upgrade::check::UpgradeCheck;

/// The versions that operator 2.2 accepts for v1beta4, the last one excluded ([OP-60]).
const V1BETA4_VERSIONS: (EmqxVersion, EmqxVersion) = (EmqxVersion(4, 4, 14), EmqxVersion(5, 0, 0));

/// All findings about versions.
pub(super) fn findings(check: &UpgradeCheck<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(version(check));
    found.extend(downgrade(check));
    found.extend(defects(check));
    found
}

/// v1beta4: what the operator's webhook will refuse ([OP-60]).
fn version(check: &UpgradeCheck<'_>) -> Option<Finding> {
    if check.instance.api != ApiVersion::V1beta4 {
        return None;
    }
    let written = check.target.parts.as_ref().and_then(|parts| parts.version.clone()).unwrap_or_default();
    if written == "latest" {
        return Some(
            Finding::blocked("version-refused", "the operator's webhook refuses the version `latest`")
                .hint("name the version: --version 4.4.24"),
        );
    }
    let (least, beyond) = V1BETA4_VERSIONS;
    let why = match EmqxVersion::find(&written) {
        None => format!("{written:?} is no version, and the operator's webhook refuses it"),
        Some(version) if version < least => {
            format!("EMQX {version} is too old for {}: it must be {least} or later", check.instance.api)
        }
        Some(version) if version >= beyond => {
            format!("EMQX {version} is too new for {}: it must be before {beyond}", check.instance.api)
        }
        Some(_) => return None,
    };
    let finding = Finding::blocked("version-refused", why);
    Some(match EmqxVersion::find(&written) {
        Some(version) if version >= beyond => {
            finding.hint("EMQX 5 needs kind EMQX (apps.emqx.io/v2beta1 or later), which is another cluster")
        }
        _ => finding.hint("name one from 4.4.14 on: --version 4.4.24"),
    })
}

/// The version that runs, by EMQX, else by the image.
fn current(check: &UpgradeCheck<'_>) -> Option<EmqxVersion> {
    let reported = check.snapshot.versions.iter().filter_map(|version| EmqxVersion::find(version)).max();
    let image = check.target.from.as_deref();
    // The image is the request; EMQX's answer is the result.
    let by_image = image.and_then(|image| Image::parse(image).ok()?.version());
    by_image.or(reported)
}

fn downgrade(check: &UpgradeCheck<'_>) -> Option<Finding> {
    let (from, to) = (current(check)?, check.target.version()?);
    (to < from).then(|| {
        Finding::blocked(
            "downgrade",
            format!(
                "{to} is older than {from}, which runs: EMQX does not promise to read what a newer one wrote"
            ),
        )
        .hint("--skip-check downgrade, if you know that it does")
    })
}

/// The defects of the running version while it is emptied, and those of two versions side by side (safety rule S18).
fn defects(check: &UpgradeCheck<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(from) = current(check) else { return found };
    found.extend(emqx_defects::of_evacuation(from).map(|defect| {
        Finding::warning("version-defect", format!("EMQX {from}, which is to be emptied: {defect}"))
    }));
    let to = check.target.version();
    if from.0 == 5 && from < EmqxVersion(5, 3, 0) && to.is_some_and(|to| to >= EmqxVersion(5, 3, 0)) {
        found.push(Finding::warning(
            "version-defect",
            format!("EMQX {from} beside a newer one: taking a session over can fail (emqx#11733)"),
        ));
    }
    if check.snapshot.versions.len() > 1 {
        found.push(Finding::warning(
            "mixed-versions",
            format!("several versions run already: {}", check.snapshot.versions.join(", ")),
        ));
    }
    found
}
