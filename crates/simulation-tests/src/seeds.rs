//! The cases of seeds: each decision has a name, so that a new one does not change the others.

use crate::case::{
    Api, Breadth, Case, CaseNode, Fault, Image, NewPods, Operation, Part, Requests, Shape, Since, Strategy,
    Timed,
};
use crate::random::Random;

impl Case {
    /// The case of a seed.
    pub fn of(seed: u64, breadth: Breadth) -> Self {
        let choose = |decision: &str| Random::of(seed, decision);
        let (api, operation) = match breadth {
            Breadth::Narrow => (*choose("api").pick(&[Api::V2beta1, Api::V2]), Operation::Rebalance),
            Breadth::Wide => wide_operation(seed),
            Breadth::Upgrades => upgrade_operation(seed),
        };
        let mut nodes = nodes(seed, api, operation);
        let mut strategy = strategy(&mut choose("strategy"), &nodes, breadth);
        let narrow = breadth == Breadth::Narrow;
        let balancer = match (breadth, choose("balancer").below(12)) {
            (Breadth::Narrow, _) | (_, 0..=7) => "even",
            (_, 8 | 9) => "least",
            (_, 10) => "one",
            _ => "sticky",
        };
        let reconnect_delay = if narrow { 0 } else { *choose("delay").pick(&[0, 0, 0, 0, 1, 3]) };
        let faults = if narrow {
            narrow_faults(&mut choose("faults"))
        } else {
            wide_faults(&mut choose("faults"), operation)
        };
        let mut faults = faults;
        // Events after the end matter only without a follower.
        let unfollowed = operation == Operation::UnfollowedRebalance;
        if !narrow && (choose("situation").once_in(3) || unfollowed) {
            faults.extend(situation(&mut choose("which situation"), operation));
            faults.sort_by(|a: &Timed, b| a.at.total_cmp(&b.at));
        }
        // What happens while EMQX waits for the last time, or moves sessions.
        if !narrow && operation.rebalances() && choose("near the end").once_in(6) {
            faults.extend(near_the_end(&mut choose("which end"), &nodes, &mut strategy));
        }
        let sessions = faults.iter().any(|timed| timed.since == Some(Since::Sessions));
        if !narrow && operation.rebalances() && (sessions || choose("many sessions").once_in(6)) {
            many_sessions(&mut choose("sessions"), &mut nodes);
        }
        let operator_away = (!narrow && choose("operator away").once_in(25))
            .then(|| *choose("operator away for").pick(&[40.0, 100.0]));
        if !narrow && choose("no waits").once_in(12) {
            (strategy.wait_health_check, strategy.wait_takeover) = (0, 0);
        }
        let new_pods = match choose("new pods").below(8) {
            0 if !narrow => NewPods::Pending,
            1 if !narrow => NewPods::CrashLoop,
            _ => NewPods::Healthy,
        };
        let late = *choose("late").pick(&[None, None, None, None, Some(8.0), Some(25.0), Some(60.0)]);
        let next_pass = *choose("next pass").pick(&[None, None, None, Some(1.0), Some(8.0), Some(60.0)]);
        Self {
            seed,
            api,
            operation,
            nodes,
            balancer: balancer.to_owned(),
            reconnect_delay,
            strategy,
            text: !narrow && choose("text").once_in(4),
            new_pods,
            late: late.filter(|_| !narrow),
            next_pass: next_pass.filter(|_| !narrow),
            operator_away,
            evacuated: matches!(operation, Operation::OthersUpgrade | Operation::OthersTemplate)
                && choose("evacuated").once_in(6),
            watching: match operation {
                Operation::WatchInstance => choose("watching").once_in(2),
                Operation::OthersUpgrade | Operation::OthersTemplate => choose("watching").once_in(4),
                _ => false,
            },
            faults,
        }
    }
}

fn wide_operation(seed: u64) -> (Api, Operation) {
    let api = *Random::of(seed, "api").pick(&[
        Api::V2beta1,
        Api::V2beta1,
        Api::V2beta1,
        Api::V2,
        Api::V2,
        Api::V2,
        Api::V1beta4,
        Api::V1beta4,
        Api::V3beta1,
    ]);
    let operation = *Random::of(seed, "operation").pick(&[
        Operation::Rebalance,
        Operation::Rebalance,
        Operation::Rebalance,
        Operation::Rebalance,
        Operation::DirectRebalance,
        Operation::DirectRebalance,
        Operation::OthersRebalance,
        Operation::OthersDirectRebalance,
        Operation::StoppedRebalance,
        Operation::RebalanceTwice,
        Operation::WatchInstance,
        Operation::OthersEvacuation,
        Operation::Evacuation,
        Operation::StoppedEvacuation,
        Operation::OthersPurge,
        Operation::Status,
    ]);
    let operation = match Random::of(seed, "another operation").below(14) {
        0 if api != Api::V3beta1 => Operation::UnfollowedRebalance,
        _ => operation,
    };
    let operation = match operation {
        Operation::Rebalance if api == Api::V3beta1 => Operation::DirectRebalance,
        Operation::OthersRebalance | Operation::WatchInstance if api == Api::V3beta1 => {
            Operation::OthersDirectRebalance
        }
        // EMQX before 5.2 has no purges.
        Operation::OthersPurge if api == Api::V1beta4 => Operation::OthersEvacuation,
        other => other,
    };
    (api, operation)
}

fn upgrade_operation(seed: u64) -> (Api, Operation) {
    let api = *Random::of(seed, "api").pick(&[Api::V1beta4, Api::V2beta1, Api::V2, Api::V3beta1]);
    let operation = *Random::of(seed, "operation").pick(&[Operation::Upgrade, Operation::OthersUpgrade]);
    let operation = match Random::of(seed, "another operation").below(12) {
        0 | 1 => Operation::UndoneUpgrade,
        2 | 3 => Operation::OthersTemplate,
        4 => Operation::OthersCoreTemplate,
        _ => operation,
    };
    (api, operation)
}

fn nodes(seed: u64, api: Api, operation: Operation) -> Vec<CaseNode> {
    let mut random = Random::of(seed, "nodes");
    let replicants = match api {
        Api::V1beta4 => 0,
        _ if random.once_in(2) => random.between(3, 5),
        _ => 0,
    };
    let cores = if replicants > 0 { random.between(1, 3) } else { random.between(3, 5) };
    let base = *random.pick(&[400, 1200, 3000]);
    let mut nodes: Vec<CaseNode> = (0..cores + replicants)
        .map(|index| {
            let replicant = index >= cores;
            let serves = replicant || replicants == 0;
            let spread = base / 10;
            let connections = if serves { base - spread / 2 + random.below(spread + 1) } else { 0 };
            let offline = if serves && random.once_in(4) { random.below(base / 4) } else { 0 };
            CaseNode { replicant, connections, offline }
        })
        .collect();
    if operation.rebalances()
        && let Some(last) = nodes.last_mut()
    {
        // The node that was just added.
        (last.connections, last.offline) = (random.below(base / 20 + 1), 0);
    }
    nodes
}

fn strategy(random: &mut Random, nodes: &[CaseNode], breadth: Breadth) -> Strategy {
    let serving: Vec<u64> = nodes.iter().map(|node| node.connections).filter(|&count| count > 0).collect();
    let most = serving.iter().copied().max().unwrap_or(100);
    // Ten to forty rounds.
    let rate = (most / 4 / random.between(10, 40)).max(1);
    let narrow = breadth == Breadth::Narrow;
    Strategy {
        conn_rate: rate,
        sess_rate: rate.max(5),
        wait_health_check: if narrow { 10 } else { *random.pick(&[1, 5, 10]) },
        wait_takeover: if narrow { 10 } else { *random.pick(&[1, 5, 10]) },
        abs: (most / 30).max(10),
        rel: 1.1,
    }
}

fn narrow_faults(random: &mut Random) -> Vec<Timed> {
    let at = 8.0 + random.below(40) as f64;
    let fault = match random.below(6) {
        0 => return Vec::new(),
        1 => Fault::CoordinatorCrash,
        2 => Fault::NodeDown { part: *random.pick(&PARTS), back: None },
        3 => Fault::EmqxSilent(20.0 + random.below(60) as f64),
        4 => Fault::ApiRestart,
        _ => Fault::Misshapen(Shape::Empty, 1),
    };
    vec![Timed::at(at, fault)]
}

const PARTS: [Part; 4] = [Part::Donor, Part::Recipient, Part::Coordinator, Part::Core];

fn wide_faults(random: &mut Random, operation: Operation) -> Vec<Timed> {
    let number = *random.pick(&[0, 1, 1, 1, 1, 2, 2, 3]);
    let mut faults: Vec<Timed> = (0..number)
        .map(|_| {
            let at = if random.once_in(8) { random.below(4) as f64 } else { 4.0 + random.below(60) as f64 };
            Timed::at(at, wide_fault(random, operation))
        })
        .collect();
    faults.sort_by(|a, b| a.at.total_cmp(&b.at));
    faults
}

/// Faults that occur together: situations that single faults do not cause.
fn situation(random: &mut Random, operation: Operation) -> Vec<Timed> {
    let at = 5.0 + random.below(30) as f64;
    let fault = |after: f64, fault: Fault| Timed::at(at + after, fault);
    let leave = Fault::ClientsLeave(random.between(4, 15) as u32);
    let shape = *random.pick(&[Shape::Null, Shape::Missing, Shape::NoList, Shape::BadEntry]);
    let choice = random.below(if operation.rebalances() { 12 } else { 10 });
    match operation {
        _ if operation.upgrades() => match choice {
            0 => vec![fault(random.below(60) as f64, Fault::RebalanceCreated)],
            1 | 2 => vec![fault(random.below(90) as f64, Fault::ManifestReapplied)],
            3 | 4 => vec![fault(30.0, Fault::EmqxSilent(150.0)), fault(60.0, leave)],
            5 => {
                let silent = Fault::OperatorDead(Some(120.0));
                vec![fault(40.0, Fault::PodKilled(Part::Recipient)), fault(50.0, silent)]
            }
            6 => vec![fault(20.0, Fault::Killed(40.0)), fault(40.0, leave)],
            // It ends during the outage.
            7 => vec![fault(20.0, Fault::EmqxSilent(700.0)), fault(60.0, leave)],
            8 => vec![fault(random.below(60) as f64, leave)],
            _ => vec![fault(30.0, Fault::Misshapen(shape, 60))],
        },
        // After its end, before it is listed.
        Operation::UnfollowedRebalance => {
            let what = match choice {
                0..=2 => Fault::ClientsCrowd,
                3..=6 => leave,
                7 => Fault::NodeDown { part: Part::Recipient, back: Some(20.0) },
                _ => Fault::RebalanceCreated,
            };
            vec![fault(80.0 + random.below(60) as f64, what)]
        }
        Operation::Evacuation | Operation::StoppedEvacuation | Operation::OthersEvacuation => match choice {
            0 | 1 => vec![fault(0.0, Fault::EmqxSilent(90.0)), fault(20.0, leave)],
            2 | 3 => vec![fault(0.0, Fault::Misshapen(shape, 40))],
            4 => vec![fault(0.0, Fault::Killed(20.0)), fault(10.0, leave)],
            _ => vec![fault(0.0, leave)],
        },
        Operation::OthersPurge | Operation::Status => match choice {
            0 | 1 => vec![fault(0.0, Fault::Misshapen(shape, 40))],
            2 | 3 => vec![fault(0.0, Fault::Scaled(*random.pick(&[1, -1])))],
            _ => vec![fault(0.0, Fault::ClientsCrowd)],
        },
        _ => match choice {
            // Long enough for a second answer, 10 s later, with the same shape.
            0 => vec![fault(0.0, Fault::Misshapen(shape, 25))],
            // Counts from before an outage differ from those after it.
            1 | 2 => vec![fault(0.0, Fault::EmqxSilent(90.0)), fault(20.0, leave)],
            3 => vec![fault(0.0, Fault::EmqxFailsForAll(20.0)), fault(4.0, Fault::ObjectDeleted)],
            // A node joins and gets some of the evicted clients before the follower starts.
            4 | 10 | 11 => {
                let killed = 20.0 + random.below(15) as f64;
                let early = random.below(5) as f64;
                vec![Timed::at(early, Fault::Scaled(1)), Timed::at(early + killed, Fault::Killed(10.0))]
            }
            5 => vec![fault(0.0, Fault::Scaled(*random.pick(&[-1, -2])))],
            6 => vec![fault(0.0, leave)],
            7 => vec![fault(0.0, Fault::CoordinatorHang)],
            8 => vec![fault(0.0, Fault::ClientsCrowd)],
            _ => vec![fault(0.0, Fault::CountsRefused(120.0)), fault(12.0, leave)],
        },
    }
}

/// Offline sessions on each node but the last one, so that a rebalance has sessions to move.
fn many_sessions(random: &mut Random, nodes: &mut [CaseNode]) {
    if let Some((_, others)) = nodes.split_last_mut() {
        for node in others.iter_mut().filter(|node| node.connections > 0) {
            node.offline = node.connections / 4 + random.below(node.connections / 4 + 1);
        }
    }
}

/// Faults that occur while EMQX waits for the last time, or moves sessions; and an outage of more than ten minutes.
fn near_the_end(random: &mut Random, nodes: &[CaseNode], strategy: &mut Strategy) -> Vec<Timed> {
    let leave = Fault::ClientsLeave(random.between(4, 15) as u32);
    let late = random.below(5) as f64;
    let wait = |at: f64, fault: Fault| Timed::since(Since::LastWait, at, fault);
    let sessions = |at: f64, fault: Fault| Timed::since(Since::Sessions, at, fault);
    let seconds = *random.pick(&[30.0, 60.0, 200.0, 700.0]);
    match random.below(13) {
        0 | 1 => vec![wait(0.0, Fault::EmqxSilent(seconds))],
        2 => vec![wait(0.5, Fault::EmqxAnswersNobody(seconds)), wait(20.0, leave)],
        3 | 4 => vec![wait(0.0, Fault::CountsRefused(120.0)), wait(0.5, Fault::ClientsCrowd)],
        5 => vec![wait(0.0, Fault::EmqxSilent(seconds)), wait(2.0, Fault::ClientsCrowd)],
        6 | 7 => vec![sessions(late, Fault::CoordinatorCrash)],
        8 => vec![sessions(late, Fault::StoppedByOther)],
        9 => vec![sessions(late, Fault::NodeDown { part: *random.pick(&PARTS), back: None })],
        10 => vec![sessions(0.0, Fault::EmqxSilent(seconds))],
        11 => vec![wait(0.0, leave)],
        _ => {
            let most = nodes.iter().map(|node| node.connections).max().unwrap_or(0);
            strategy.conn_rate = (most / 4 / 800).max(1);
            vec![Timed::at(20.0, Fault::EmqxSilent(650.0))]
        }
    }
}

fn wide_fault(random: &mut Random, operation: Operation) -> Fault {
    let seconds = *random.pick(&[3.0, 12.0, 25.0, 70.0, 150.0]);
    let part = *random.pick(&PARTS);
    match random.below(39) {
        0 => Fault::CoordinatorCrash,
        1 => Fault::CoordinatorHang,
        2 | 3 => Fault::NodeDown { part, back: None },
        4 => Fault::NodeDown { part, back: Some(seconds) },
        5 => Fault::EmqxSilent(seconds),
        6 => Fault::NodeSilent(seconds),
        7 => Fault::EmqxErrors(seconds),
        8 => Fault::KeyRefused(seconds),
        9 => Fault::EmqxHtml(seconds),
        10 => Fault::EmqxSlow(*random.pick(&[0.5, 2.0, 6.0]), seconds),
        11..=13 => {
            let shapes =
                [Shape::Empty, Shape::Null, Shape::Missing, Shape::NoList, Shape::BadEntry, Shape::Reordered];
            Fault::Misshapen(*random.pick(&shapes), random.between(1, 2) as u32)
        }
        14 => Fault::StoppedByOther,
        15 if matches!(operation, Operation::Rebalance | Operation::OthersRebalance) => Fault::ObjectDeleted,
        16 => Fault::ClientsLeave(random.between(3, 12) as u32),
        17 => Fault::ApiRestart,
        18 => Fault::ApiCut,
        19 => Fault::ApiDown(seconds),
        20 => Fault::ApiHang(seconds),
        21 | 22 => {
            let requests = [Requests::All, Requests::Rebalances, Requests::Pods, Requests::Forwards];
            Fault::ApiStatus {
                code: *random.pick(&[401, 403, 410, 429, 500, 503]),
                requests: *random.pick(&requests),
                seconds,
            }
        }
        23 => Fault::TooManyRequests(random.between(1, 3) as u32),
        24 => Fault::ApiSlow(*random.pick(&[0.3, 2.0, 5.0]), seconds),
        25 => Fault::DateJump(*random.pick(&[3600, -3600, 120, -30])),
        26 => Fault::TwoServers(*random.pick(&[120, -120])),
        27 => Fault::Asleep(*random.pick(&[30.0, 600.0, 3600.0])),
        28 => Fault::PodKilled(part),
        29 => Fault::OperatorDead(*random.pick(&[None, Some(30.0), Some(120.0), Some(600.0)])),
        30 => Fault::Killed(*random.pick(&[1.0, 20.0])),
        31 | 32 => Fault::NodeFrozen { part, seconds },
        36 => Fault::EmqxAnswersNobody(seconds),
        37 => Fault::EmqxFailsForAll(seconds),
        33 => Fault::NotInCluster(part),
        34 => Fault::PodNotReady(part),
        38 if operation.upgrades() => random.pick(&[Fault::TemplateChanged, Fault::ReplicantRemoved]).clone(),
        35 if operation.upgrades() => Fault::ImageChanged(*random.pick(&[Image::Previous, Image::Third])),
        _ => Fault::ForwardsCut,
    }
}
