//! The target of an upgrade: which image, which way, and which rates and waits follow for the object.

use crate::error::Problem;
use crate::model::image::{self, EmqxVersion, Image};
use crate::model::strategy::{EMQX_RATE, EMQX_WAIT_SECONDS};
pub use crate::model::upgrade::{DrainMethod, UpgradeRequest, Wanted, Way};
use crate::model::{ApiVersion, HoldManner, HoldState, ImageParts, Instance, InstanceKind, UpdateSpec};
use crate::plan::durations::{DrainTiming, OPERATOR_RATE, OPERATOR_WAIT_SECONDS};
use crate::plan::rebalance::manifest::SHORTEST_WAIT_SECONDS;

/// The target that follows from a request for one object.
#[expect(clippy::struct_excessive_bools, reason = "each is asked for, or follows, by itself")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeTarget {
    /// The image that runs.
    pub from: Option<String>,
    /// The target image.
    pub to: String,
    /// v1beta4: its parts.
    pub parts: Option<ImageParts>,
    /// v1beta4: whether only the version part changes.
    pub version_only: bool,
    /// How pods are replaced.
    pub way: Way,
    /// Whether this program empties old pods before the operator may remove them.
    pub guarded: bool,
    /// Whether old pods are emptied one after another.
    pub one_by_one: bool,
    /// Whether this is the undo of a guarded upgrade.
    pub undo: bool,
    /// Every setting of the update, written out; the delay is the user's own.
    pub update: UpdateSpec,
}

impl UpgradeTarget {
    /// The target for this object; a problem where the image cannot be used with it.
    pub fn of(instance: &Instance, ask: &UpgradeRequest) -> Result<Self, Problem> {
        let v1beta4 = instance.api == ApiVersion::V1beta4;
        fits(instance, ask)?;
        let (to, parts) = target(instance, &ask.wanted)?;
        let way = match instance.api {
            ApiVersion::V1beta4
                if instance.id.kind == InstanceKind::EmqxEnterprise
                    && (instance.update.present || ask.way == Some(Way::BlueGreen)) =>
            {
                Way::BlueGreen
            }
            ApiVersion::V2beta1 | ApiVersion::V2 => Way::BlueGreen,
            ApiVersion::V1beta4 | ApiVersion::V3beta1 => Way::Rolling,
        };
        let guarded = v1beta4 && way == Way::BlueGreen && ask.manner != DrainMethod::Unguarded;
        let now = &instance.update;
        let rate = if v1beta4 { EMQX_RATE } else { OPERATOR_RATE };
        let takeover = if v1beta4 { EMQX_WAIT_SECONDS } else { OPERATOR_WAIT_SECONDS };
        let mut update = UpdateSpec {
            present: true,
            evacuation: true,
            disabled: now.disabled,
            initial_delay: own_delay(instance).or(match instance.api {
                ApiVersion::V2beta1 | ApiVersion::V2 => Some(OPERATOR_WAIT_SECONDS),
                ApiVersion::V1beta4 | ApiVersion::V3beta1 => None,
            }),
            conn_evict_rate: ask.conn_evict_rate.or(now.conn_evict_rate).or(Some(rate)),
            sess_evict_rate: ask.sess_evict_rate.or(now.sess_evict_rate).or(Some(rate)),
            wait_takeover: ask.wait_takeover.or(now.wait_takeover).or(Some(takeover)),
            wait_health_check: match instance.api {
                ApiVersion::V2 | ApiVersion::V3beta1 => {
                    ask.wait_health_check.or(now.wait_health_check).or(Some(EMQX_WAIT_SECONDS))
                }
                ApiVersion::V1beta4 | ApiVersion::V2beta1 => None,
            },
            max_unavailable: now.max_unavailable.clone(),
            max_surge: now.max_surge.clone(),
        };
        for (_, seconds) in zero_waits(instance.api, &mut update) {
            *seconds = SHORTEST_WAIT_SECONDS;
        }
        Ok(Self {
            from: instance.image.clone(),
            to,
            parts,
            version_only: matches!(ask.wanted, Wanted::Version(_)),
            way,
            guarded,
            one_by_one: guarded && ask.manner == DrainMethod::OneByOne,
            undo: false,
            update,
        })
    }

    /// The target of a guarded upgrade that was begun earlier, by the object and by its stored state. `None`
    /// where there is nothing to continue: no delay is held, or another image and another delay were set
    /// since.
    pub fn resumed(instance: &Instance) -> Option<Self> {
        let record = instance.upgrade_record();
        let delayed = instance.update.initial_delay == Some(HOLD_SECONDS);
        let target = record.as_ref().is_none_or(|record| Some(&record.to) == instance.image.as_ref());
        let held = hold(instance).is_some() && (target || delayed);
        // A delay of a year without stored state: the ConfigMap was deleted, or a generated change was
        // applied.
        let adopted = delayed && instance.api == ApiVersion::V1beta4;
        if !held && !adopted {
            return None;
        }
        Some(Self {
            from: record.as_ref().and_then(|record| record.from.clone()),
            to: instance.image.clone()?,
            parts: instance.image_parts.clone(),
            version_only: record.is_none_or(|record| record.version_only),
            way: Way::BlueGreen,
            guarded: true,
            one_by_one: one_by_one(instance),
            undo: undoing(instance),
            update: UpdateSpec { initial_delay: own_delay(instance), ..instance.update.clone() },
        })
    }

    /// The timing with which the operator, or a guard, will empty pods.
    pub(crate) fn timing(&self, instance: &Instance) -> DrainTiming {
        let mut changed = instance.clone();
        changed.update = self.update.clone();
        DrainTiming::of(&changed)
    }

    /// EMQX's target version, where the tag has one.
    pub(crate) fn version(&self) -> Option<EmqxVersion> {
        match &self.parts {
            Some(parts) => EmqxVersion::find(parts.version.as_deref()?),
            None => Image::parse(&self.to).ok()?.version(),
        }
    }
}

/// The waits of 0 of a `spec.updateStrategy` that operator 2.3 would drop, so that the defaults of the CRD return [OP-26]:
/// their fields, and where they are stored.
fn zero_waits(api: ApiVersion, update: &mut UpdateSpec) -> Vec<(&'static str, &mut u64)> {
    let waits = [
        ("initialDelaySeconds", &mut update.initial_delay),
        ("waitTakeover", &mut update.wait_takeover),
        ("waitHealthCheck", &mut update.wait_health_check),
    ];
    waits
        .into_iter()
        .filter(|_| api == ApiVersion::V2)
        .filter_map(|(field, wait)| Some((field, wait.as_mut().filter(|seconds| **seconds == 0)?)))
        .collect()
}

/// The message where 1 is written into `spec.updateStrategy` because operator 2.3 would drop the 0 that was
/// requested, or that the object has now. [OP-26]
pub(crate) fn raised_waits(instance: &Instance, ask: &UpgradeRequest) -> Option<String> {
    let mut update = UpdateSpec {
        wait_takeover: ask.wait_takeover.or(instance.update.wait_takeover),
        wait_health_check: ask.wait_health_check.or(instance.update.wait_health_check),
        initial_delay: own_delay(instance),
        ..UpdateSpec::default()
    };
    let fields: Vec<&str> =
        zero_waits(instance.api, &mut update).into_iter().map(|(field, _)| field).collect();
    (!fields.is_empty()).then(|| {
        format!(
            "spec.updateStrategy has 0 for {}: operator 2.3 drops zeros, and the default of the CRD takes their place; \
             {SHORTEST_WAIT_SECONDS} s is written instead",
            fields.join(", ")
        )
    })
}

/// The delay that is held, as it is stored.
pub(crate) fn hold(instance: &Instance) -> Option<&HoldState> {
    instance.guard.as_ref()?.hold.as_ref()
}

/// Whether a guard takes one old pod after another.
pub(crate) fn one_by_one(instance: &Instance) -> bool {
    hold(instance).is_some_and(|hold| hold.manner == HoldManner::OneByOne)
}

/// Whether a guarded upgrade is being undone: the pods that were old stay.
pub(crate) fn undoing(instance: &Instance) -> bool {
    hold(instance).is_some_and(|hold| hold.manner == HoldManner::Undo)
}

/// The delay as the user set it, also while the delay of this program replaces it.
pub(crate) fn own_delay(instance: &Instance) -> Option<u64> {
    match hold(instance) {
        Some(hold) => hold.own_delay_seconds,
        // For a held delay without stored state, the user's own delay is unknown.
        None => instance.update.initial_delay.filter(|delay| *delay != HOLD_SECONDS),
    }
}

/// Refuses a flag that has no effect here: its user relies on it.
fn fits(instance: &Instance, ask: &UpgradeRequest) -> Result<(), Problem> {
    let refuse = |flag: &str, why: String| {
        Err(Problem::usage(format!("{flag} does not fit to {}", instance.id), why).hint("leave it out"))
    };
    let api = instance.api;
    let in_place = api == ApiVersion::V3beta1 || ask.way == Some(Way::Rolling);
    let manner = match ask.manner {
        DrainMethod::Together => None,
        DrainMethod::OneByOne => Some("--one-by-one"),
        DrainMethod::Unguarded => Some("--unguarded"),
    };
    if let Some(flag) = manner.filter(|_| api != ApiVersion::V1beta4) {
        return refuse(
            flag,
            format!(
                "the operator of {api} empties pods by itself, one after another, before it removes them"
            ),
        );
    }
    if ask.wait_health_check.is_some() && api != ApiVersion::V2 {
        return refuse("--wait-health-check", format!("the object has no such field in {api}"));
    }
    let rates = [
        ("--conn-evict-rate", ask.conn_evict_rate),
        ("--sess-evict-rate", ask.sess_evict_rate),
        ("--wait-takeover", ask.wait_takeover),
    ];
    match rates.into_iter().find(|(_, typed)| typed.is_some()) {
        Some((flag, _)) if in_place => {
            refuse(flag, "only the image is changed where pods are replaced in place".to_owned())
        }
        _ => Ok(()),
    }
}

fn target(instance: &Instance, wanted: &Wanted) -> Result<(String, Option<ImageParts>), Problem> {
    let v1beta4 = instance.api == ApiVersion::V1beta4;
    match wanted {
        Wanted::Image(image) if v1beta4 => {
            let parts = image::parts(image, instance.image_parts.as_ref().unwrap_or(&ImageParts::default()))?;
            Ok((image::joined(&parts), Some(parts)))
        }
        Wanted::Image(image) => Ok((image.to_string(), None)),
        Wanted::Version(version) if v1beta4 => {
            let parts = ImageParts {
                version: Some(version.clone()),
                ..instance.image_parts.clone().unwrap_or_default()
            };
            Ok((image::joined(&parts), Some(parts)))
        }
        Wanted::Version(version) => Err(Problem::usage(
            format!("cannot set the version of {}", instance.id),
            format!("{} names its image in one piece", instance.api),
        )
        .hint(format!("kubectl emqx upgrade {} --image REPOSITORY:{version}", instance.id.name))),
    }
}

/// The delay with which the operator of v1beta4 is paused: a year ([OP-16]).
pub const HOLD_SECONDS: u64 = 31_536_000;
