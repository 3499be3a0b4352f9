use kubectl_emqx::*;
use model::*;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let base: jiff::Timestamp = "2026-11-23T07:37:43Z".parse().unwrap();
    let mut world = World::new();
    let mut f = plan::follow::Follower::new(None);
    let mut began = false;
    let mut last = base;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let v: serde_json::Value = serde_json::from_str(line).unwrap();
        let at = base + jiff::SignedDuration::from_millis((v["t"].as_f64().unwrap() * 1000.0) as i64);
        let listed = v["event"] == "LISTED" || v["t"].as_f64().unwrap() < 0.03;
        let facts = if v["from"] == "kubernetes" {
            k8s::wire::facts(at, v["event"].as_str().unwrap(), &v["object"])
        } else {
            emqx::wire::facts(
                at,
                v["get"].as_str().unwrap(),
                v["status"].as_u64().unwrap() as u16,
                &v["body"],
            )
        };
        if !began && !listed {
            show(f.observe(&world, last));
            began = true;
        }
        for x in facts {
            if let Some(n) = world.apply(x).notice {
                println!("NOTICE {n}");
            }
        }
        if began {
            show(f.observe(&world, at));
        }
        last = at;
    }
    show(f.finish(&world, last));
}
fn show(e: Vec<Event>) {
    for e in e {
        if e.kind != EventType::Progress {
            println!(
                "{} {:?} {} | {} | {:?}% eta {:?}",
                e.time, e.kind, e.name, e.message, e.percent, e.eta_seconds
            );
        }
    }
}
