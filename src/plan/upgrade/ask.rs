//! What is wanted, and what follows from it for the object: which image, which way, at which pace.

use serde::Serialize;

use super::change::UpgradeRecord;
use super::image::{self, Image, Version};
use super::pace::Pace;
use crate::error::Problem;
use crate::model::{ApiVersion, ImageParts, Instance, InstanceKind, UpdateSpec};

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An image (`--image`).
    Image(Image),
    /// A version of the image that runs (`--version`).
    Version(String),
}

/// How pods change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// A second set beside the first, which is emptied and removed.
    BlueGreen,
    /// Pod by pod, in place.
    Rolling,
}

impl Way {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlueGreen => "blueGreen",
            Self::Rolling => "rolling",
        }
    }
}

/// Who empties old pods of v1beta4, whose operator deletes them loaded (`verified.md` 15, 16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// We do, all together, sharing the rate.
    #[default]
    Together,
    /// We do, one after another, each at the whole rate.
    OneByOne,
    /// The operator does what it does.
    Unguarded,
}

/// What was asked for; `None` is what the object says, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is to run.
    pub wanted: Wanted,
    /// `--blue-green` or `--rolling`.
    pub way: Option<Way>,
    /// `--one-by-one`, `--unguarded`.
    pub manner: Manner,
    /// Clients cut per second.
    pub conn_evict_rate: Option<u64>,
    /// Sessions moved per second.
    pub sess_evict_rate: Option<u64>,
    /// Seconds for clients to take their sessions over.
    pub wait_takeover: Option<u64>,
    /// Seconds for load balancers to notice (v2, v3beta1).
    pub wait_health_check: Option<u64>,
    /// Whether pods' readiness gates may be written (`patch pods/status`); `None` when that could not be asked.
    pub gates: Option<bool>,
}

impl Ask {
    /// With everything as the object says.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            way: None,
            manner: Manner::default(),
            conn_evict_rate: None,
            sess_evict_rate: None,
            wait_takeover: None,
            wait_health_check: None,
            gates: None,
        }
    }
}

/// EMQX's own rates, for a block that says none (`emqx_node_rebalance.hrl`).
const EMQX_RATE: u64 = 500;
/// The operators' rates (`emqx-facts.md` 1.6).
const OPERATOR_RATE: u64 = 1000;

/// What follows from an ask for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The image that runs.
    pub from: Option<String>,
    /// The image that is wanted.
    pub to: String,
    /// v1beta4: its parts.
    pub parts: Option<ImageParts>,
    /// v1beta4: whether of the parts only the version is meant.
    pub version_only: bool,
    /// How pods change places.
    pub way: Way,
    /// Whether we empty old pods before the operator may remove them.
    pub guarded: bool,
    /// One after another.
    pub one_by_one: bool,
    /// Every setting of the update, written out; the delay is the user's own.
    pub update: UpdateSpec,
}

impl Settled {
    /// What follows for this object; a problem where the image cannot be used with it.
    pub fn of(instance: &Instance, ask: &Ask) -> Result<Self, Problem> {
        let v1beta4 = instance.api == ApiVersion::V1beta4;
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
        let guarded = v1beta4 && way == Way::BlueGreen && ask.manner != Manner::Unguarded;
        let now = &instance.update;
        let rate = if v1beta4 { EMQX_RATE } else { OPERATOR_RATE };
        let takeover = if v1beta4 { 60 } else { 10 };
        let update = UpdateSpec {
            present: true,
            evacuation: true,
            disabled: now.disabled,
            initial_delay: own_delay(instance).or(match instance.api {
                ApiVersion::V2beta1 | ApiVersion::V2 => Some(10),
                ApiVersion::V1beta4 | ApiVersion::V3beta1 => None,
            }),
            conn_evict_rate: ask.conn_evict_rate.or(now.conn_evict_rate).or(Some(rate)),
            sess_evict_rate: ask.sess_evict_rate.or(now.sess_evict_rate).or(Some(rate)),
            wait_takeover: ask.wait_takeover.or(now.wait_takeover).or(Some(takeover)),
            wait_health_check: match instance.api {
                ApiVersion::V2 | ApiVersion::V3beta1 => {
                    ask.wait_health_check.or(now.wait_health_check).or(Some(60))
                }
                ApiVersion::V1beta4 | ApiVersion::V2beta1 => None,
            },
            max_unavailable: now.max_unavailable.clone(),
            max_surge: now.max_surge.clone(),
        };
        Ok(Self {
            from: instance.image.clone(),
            to,
            parts,
            version_only: matches!(ask.wanted, Wanted::Version(_)),
            way,
            guarded,
            one_by_one: guarded && ask.manner == Manner::OneByOne,
            update,
        })
    }

    /// What was settled, for whoever goes on with a guarded upgrade that somebody began: what the object and our
    /// annotations on it say. `None` where there is nothing of ours to go on with.
    pub fn resumed(instance: &Instance) -> Option<Self> {
        let record = UpgradeRecord::read(instance);
        instance.notes.get(DELAY_NOTE)?;
        Some(Self {
            from: record.as_ref().and_then(|record| record.from.clone()),
            to: instance.image.clone()?,
            parts: instance.image_parts.clone(),
            version_only: record.is_none_or(|record| record.version_only),
            way: Way::BlueGreen,
            guarded: true,
            one_by_one: instance.notes.get(MANNER_NOTE).is_some_and(|manner| manner == "one-by-one"),
            update: UpdateSpec { initial_delay: own_delay(instance), ..instance.update.clone() },
        })
    }

    /// The pace at which the operator, or a guard, will empty pods.
    pub fn pace(&self, instance: &Instance) -> Pace {
        let mut changed = instance.clone();
        changed.update = self.update.clone();
        Pace::of(&changed)
    }

    /// EMQX's version that is wanted, where the tag tells one.
    pub fn version(&self) -> Option<Version> {
        match &self.parts {
            Some(parts) => Version::find(parts.version.as_deref()?),
            None => Image::parse(&self.to).ok()?.version(),
        }
    }
}

/// The annotation that keeps the user's own delay while ours holds the operator: its seconds, or `none`.
pub const DELAY_NOTE: &str = "cli.emqx.io/initial-delay-seconds";

/// The annotation that keeps how old pods are to be emptied: `together` or `one-by-one`.
pub const MANNER_NOTE: &str = "cli.emqx.io/guard";

/// The delay as the user wrote it, also while ours stands in its place.
pub fn own_delay(instance: &Instance) -> Option<u64> {
    match instance.notes.get(DELAY_NOTE) {
        Some(kept) => kept.parse().ok(),
        None => instance.update.initial_delay,
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
