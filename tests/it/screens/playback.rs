//! Recordings on the screen.

use kubectl_emqx::tui::Msg;

use super::make::{Bench, RECORDINGS, recorded};
use super::situations::REBALANCE;

#[test]
fn every_recording_plays_to_its_end_on_the_screen() {
    for name in RECORDINGS {
        let (mut bench, lines) = recorded(name, false);
        for replayed in lines {
            bench.send(Msg::RecordedFacts(replayed));
            bench.buffer(80, 24);
        }
        bench.send(Msg::Over);
        let screen = bench.screen(80, 24);
        assert!(screen.contains("RECORDING, ITS END"), "{name}\n{screen}");
    }
}

#[test]
fn a_recording_is_played_back_and_forth() {
    use kubectl_emqx::tui::Play;
    use kubectl_emqx::tui::player::Player;
    let (mut bench, lines) = recorded(REBALANCE, false);
    let begin = bench.state.setup.now;
    let lines = std::rc::Rc::new(lines);
    let open = std::rc::Rc::new(move || {
        let lines: Vec<_> = lines.as_ref().clone();
        Ok(Box::new(lines.into_iter().map(Ok)) as kubectl_emqx::tui::context::Lines)
    });
    let mut player = Player::new(open, begin, 10.0).expect("it opens");
    player.advance(&mut bench.state, 5.55);
    let there = bench.screen(80, 24);
    assert!(there.contains("REBALANCING"), "{there}");
    let mut play = |bench: &mut Bench, play| player.play(&mut bench.state, play).expect("it plays");
    play(&mut bench, Play::Jump(30));
    let later = bench.screen(80, 24);
    assert_ne!(later, there);
    play(&mut bench, Play::Jump(-30));
    assert_eq!(bench.screen(80, 24), there, "back is where it was, notices and all");
    play(&mut bench, Play::End);
    let end = bench.screen(80, 24);
    assert!(end.contains("BALANCED") && end.contains("balanced: donors"), "{end}");
    play(&mut bench, Play::Jump(-1000));
    play(&mut bench, Play::Step);
    play(&mut bench, Play::Step);
    assert!(bench.state.setup.playback.is_some_and(|playback| !playback.over));
}
