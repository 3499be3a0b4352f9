//! What EMQX reports about itself beside its nodes: its licence, the rates of its listeners, and the nodes that each core sees.

use futures::StreamExt;
use futures::stream;
use hyper::Method;
use serde_json::Value;

use super::endpoint::Transport;
use super::error::failure;
use super::http::{HttpResponse, Lost};
use super::shared::{Failed, Shared};
use super::wire;
use crate::model::report::{CoreView, EmqxReport, Licence, Listener, Reading};
use crate::model::url::encode;
use crate::model::{NodeName, PodName};

/// The most listeners whose rates are read.
const LISTENERS: usize = 16;

/// The most cores that are asked.
const MAX_QUERIED_CORES: usize = 16;

/// Cores that are asked at the same time.
const AT_ONCE: usize = 4;

/// Reads all of it; what cannot be read is marked so.
pub(super) async fn report(shared: &Shared, cores: &[(NodeName, Option<PodName>)]) -> EmqxReport {
    let own = async {
        match shared.is_v4().await {
            Ok(true) => (
                Reading::Unread("EMQX 4 does not report its licence".to_owned()),
                Reading::Unread("EMQX 4 does not report the rates of its listeners".to_owned()),
            ),
            Ok(false) => (licence(shared).await, listeners(shared).await),
            Err(failed) => {
                let why = why(failed);
                (Reading::Unread(why.clone()), Reading::Unread(why))
            }
        }
    };
    let ((licence, listeners), views) = futures::join!(own, views(shared, cores));
    EmqxReport { licence, listeners, views }
}

fn why(failed: Failed) -> String {
    match failed {
        Failed::Lost(lost) => lost.why().to_owned(),
        Failed::Keyless(problem) => problem.to_string(),
    }
}

/// An answer of this path; `Absent` where this EMQX does not know it [EMQX-44].
async fn get(shared: &Shared, path: &str) -> Reading<Value> {
    match shared.ask(&Method::GET, path, None).await {
        Ok(HttpResponse { status: 404, .. }) | Err(Failed::Lost(Lost::Useless(_))) => Reading::Absent,
        Ok(answer) => match failure(answer.status, answer.body()) {
            None => Reading::Is(answer.into_body()),
            Some(refused) => {
                Reading::Unread(refused.problem(format!("cannot read {path} of EMQX")).to_string())
            }
        },
        Err(failed) => Reading::Unread(format!("cannot read {path} of EMQX: {}", why(failed))),
    }
}

async fn licence(shared: &Shared) -> Reading<Licence> {
    match get(shared, "/api/v5/license").await {
        Reading::Is(body) => match wire::licence(&body) {
            Some(licence) => Reading::Is(licence),
            None => Reading::Unread("EMQX's answer about its licence has an unexpected shape".to_owned()),
        },
        Reading::Absent => Reading::Absent,
        Reading::Unread(why) => Reading::Unread(why),
    }
}

/// The list has the number of clients of each listener; the rate is read from each listener.
async fn listeners(shared: &Shared) -> Reading<Vec<Listener>> {
    let listed = match get(shared, "/api/v5/listeners").await {
        Reading::Is(body) => wire::listeners(&body),
        Reading::Absent => return Reading::Absent,
        Reading::Unread(why) => return Reading::Unread(why),
    };
    let mut found = Vec::new();
    for mut listener in listed.into_iter().take(LISTENERS) {
        match get(shared, &format!("/api/v5/listeners/{}", encode(&listener.id))).await {
            Reading::Is(body) => listener.rate = wire::listener_rate(&body),
            // The listener was removed in the meantime.
            Reading::Absent => continue,
            Reading::Unread(why) => return Reading::Unread(why),
        }
        found.push(listener);
    }
    Reading::Is(found)
}

async fn views(shared: &Shared, cores: &[(NodeName, Option<PodName>)]) -> Vec<CoreView> {
    let asked = cores.iter().take(MAX_QUERIED_CORES).map(|(core, pod)| async move {
        CoreView { core: core.clone(), running: view(shared, core, pod.as_ref()).await }
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// The nodes that this core lists as running, over a connection to the core itself.
async fn view(
    shared: &Shared,
    core: &NodeName,
    pod: Option<&PodName>,
) -> Result<std::collections::BTreeSet<NodeName>, String> {
    let transport = match pod {
        Some(pod) if shared.endpoint.is_pods() => Transport::Pod(pod.clone()),
        _ if shared.endpoint.is_pods() => return Err("its pod is not known".to_owned()),
        _ => match shared.address_of(core).await {
            Some(address) => Transport::Address(address),
            None => return Err("no --emqx-url is the address of that node".to_owned()),
        },
    };
    let key = shared.key().await.map_err(|problem| problem.to_string())?;
    let lost = |lost: Lost| lost.why().to_owned();
    let path = shared.rooted(wire::NODES_PATH).await.map_err(why)?;
    // An address that was computed from the name of a node gets no key.
    let given = match &transport {
        Transport::Address(address) => shared.endpoint.gives(address),
        Transport::Pod(_) | Transport::None => true,
    };
    if !given {
        return Err("no --emqx-url is the address of that node".to_owned());
    }
    let mut connection =
        shared.endpoint.open(&shared.target, &transport, shared.time_limit).await.map_err(lost)?;
    let answer = connection.ask(&Method::GET, &path, Some(&key), None).await.map_err(lost)?;
    if let Some(refused) = failure(answer.status, answer.body()) {
        return Err(refused.problem("cannot read its list of nodes").to_string());
    }
    let nodes = wire::nodes(answer.body())?;
    Ok(nodes.into_iter().filter(|node| node.running).map(|node| node.name).collect())
}
