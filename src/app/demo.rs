//! `demo` and `demo serve`: the simulated cluster.

use std::path::PathBuf;
use std::rc::Rc;

use super::given_files::{WRITABLE, foreign, read_text};
use super::setup::{context, interrupted};
use super::{screen, upgrade};
use crate::cli::Global;
use crate::cli::intent::upgrade::Upgrade;
use crate::cli::intent::{Demo, DemoServe, Scenario};
use crate::commands::{self, Outcome};
use crate::error::{Exit, Problem};
use crate::model::access::{EmqxAccess, KubernetesFlags};
use crate::model::image::Image;
use crate::output::Printer;
use emqx_sim as sim;

/// `demo`: shows the operation of the scenario, then removes the cluster.
pub(super) async fn run(mut global: Global, printer: Rc<Printer>, demo: Demo) -> Outcome {
    let scenario = scenario(demo.scenario.as_deref())?;
    let image = scenario.upgrade_to.as_deref().map(Image::parse).transpose()?;
    let running = simulated(scenario, demo.speed, None).await?;
    global.connect =
        KubernetesFlags { kubeconfig: Some(running.kubeconfig().to_owned()), ..KubernetesFlags::default() };
    global.emqx = EmqxAccess::default();
    let outcome = match (image, screen::fits(&printer)) {
        (Some(image), true) => {
            let apply = Upgrade::Apply(commands::demo::upgrade(&image));
            Box::pin(upgrade::run(&global, printer, apply)).await
        }
        (Some(image), false) => {
            let context = context(&global, printer, None).await?;
            Box::pin(commands::demo::upgraded(&context, &image)).await
        }
        (None, true) => {
            let context = context(&global, printer, None).await?;
            screen::demo(&context, commands::demo::documented()).await
        }
        (None, false) => {
            let context = context(&global, printer, None).await?;
            Box::pin(commands::demo::run(&context)).await
        }
    };
    running.shutdown().await;
    outcome.map_err(commands::demo::interrupted)
}

/// `demo serve`: runs the cluster until an interrupt.
pub(super) async fn serve(printer: &Printer, serve: DemoServe) -> Outcome {
    let scenario = match &serve.scenario {
        Scenario::Named(name) => scenario(name.as_deref())?,
        Scenario::File(path) => {
            let text = read_text(path, "kubectl emqx demo serve without --file plays one that is built in")?;
            sim::Scenario::from_yaml(&text)
                .map_err(|error| Problem::new(format!("cannot use {}", path.display()), error.to_string()))?
        }
    };
    if let Some(path) = serve.kubeconfig_out.as_ref().filter(|_| !serve.force) {
        foreign(path, sim::KUBECONFIG_BEGINS.as_bytes(), "a kubeconfig of the demo").map_err(|why| {
            Problem::new(format!("cannot write the kubeconfig {}", path.display()), why)
                .hint("choose another name for --kubeconfig-out, or overwrite the file with --force")
        })?;
    }
    let running = simulated(scenario, serve.speed, serve.kubeconfig_out).await?;
    printer.line(&format!("export KUBECONFIG={}", running.kubeconfig().display()));
    interrupted().await;
    running.shutdown().await;
    Ok(Exit::Reached)
}

fn scenario(name: Option<&str>) -> Result<sim::Scenario, Problem> {
    sim::Scenario::built_in(name.unwrap_or("documented"))
        .map_err(|error| Problem::usage(error.to_string(), "").hint("kubectl emqx demo plays `documented`"))
}

async fn simulated(
    scenario: sim::Scenario,
    speed: f64,
    kubeconfig_out: Option<PathBuf>,
) -> Result<sim::Running, Problem> {
    sim::serve_privately(sim::Options { scenario, speed, kubeconfig_out })
        .await
        .map_err(|error| Problem::new("cannot start the simulated cluster", error.to_string()).hint(WRITABLE))
}
