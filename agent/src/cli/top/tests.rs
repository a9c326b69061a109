//! The screen drawn on terminals of many sizes, and led by keys; without an agent.

use std::time::{Duration, Instant, SystemTime};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend};

use super::{
    app::{App, Front, Look, News, Then},
    ask::Order,
    draw::{Looks, draw},
};
use crate::{
    config::Mode,
    control::{
        api::{DropsReport, DropsRow, Flow, Status, TopReport, TopSource, Traffic, Verdict},
        problems::tests::status,
    },
};

/// Screens that are drawn: usual ones, and what a terminal can be made to by its corner.
const SIZES: [(u16, u16); 12] = [
    (200, 60),
    (120, 40),
    (100, 30),
    (80, 24),
    (80, 10),
    (60, 20),
    (40, 12),
    (30, 8),
    (20, 5),
    (10, 3),
    (3, 2),
    (1, 1),
];

/// Of an agent under a flood, after so many packets.
fn look(packets: u64) -> Look {
    let flow = |packets: u64| Flow {
        packets,
        bytes: packets * 60,
        packets_per_second: packets as f64 / 10.0,
        bytes_per_second: packets as f64 * 6.0,
    };
    let row = |interface: &str, class: &str, reason: &str, verdict, packets| DropsRow {
        interface: Some(interface.to_owned()),
        class: Some(class.to_owned()),
        reason: reason.to_owned(),
        verdict,
        description: String::new(),
        flow: flow(packets),
    };
    let traffic =
        Traffic { passed: flow(1_000), dropped: flow(packets), observed: flow(9), ..Traffic::default() };
    let source = |address: &str, share: f64| TopSource {
        source: address.parse().unwrap(),
        share,
        packets_per_second: share * packets as f64 / 10.0,
        reason: "source-connections".to_owned(),
        class: "web".to_owned(),
        interface: "eth0".to_owned(),
        last_seen_seconds: 0.2,
    };
    Look {
        status: Status { traffic, ..status() },
        drops: DropsReport {
            mode: Mode::Enforce,
            traffic,
            rows: vec![
                row("eth0", "web", "source-connections", Verdict::Drop, packets),
                row("eth1", "udp", "amplification", Verdict::Observed, 9),
                row("eth0", "web", "passed", Verdict::Pass, 1_000),
            ],
        },
        top: TopReport {
            traffic,
            half_life_seconds: 60.0,
            sources: vec![
                source("2001:db8:1234:5678:9abc:def0:1234:5678", 0.5),
                source("203.0.113.9", 0.3),
                source("198.51.100.7", 0.2),
            ],
        },
    }
}

fn after(seconds: u64, start: Instant) -> (Instant, SystemTime) {
    // 2026-01-01 00:00:00 UTC
    let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + seconds);
    (start + Duration::from_secs(seconds), clock)
}

/// One that has been told of a flood for a minute.
fn flooded(start: Instant) -> App {
    let mut app = App::new();
    for second in 0..60 {
        let (now, clock) = after(second, start);
        app.hear(News::Look(Box::new(look(second * 1_000_000))), now, clock);
    }
    app
}

fn screen(app: &App, (width, height): (u16, u16), start: Instant, colours: bool) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let (now, clock) = after(72, start);
    let looks = Looks { colours, blocks: true };
    terminal.draw(|frame| draw(frame, app, looks, now, clock)).unwrap();
    let buffer = terminal.backend().buffer();
    if !colours {
        let plain = |cell: &ratatui::buffer::Cell| cell.fg == ratatui::style::Color::Reset;
        assert!(buffer.content.iter().all(plain), "a colour");
    }
    let rows = buffer.content.chunks(usize::from(width));
    rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
}

fn press(app: &mut App, keys: &str) -> Then {
    let mut then = Then::Draw;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{8}' => KeyCode::Backspace,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        then = app.key(code.into());
    }
    then
}

#[test]
fn every_state_is_drawn_on_every_size() {
    let start = Instant::now();
    let mut apps = vec![App::new(), flooded(start)];
    for keys in ["?", "/113", "b", "bx\n", "b\n", "a\n", "m", "/nothing\nb", "jjjjG", "ssssr", "p"] {
        let mut app = flooded(start);
        press(&mut app, keys);
        apps.push(app);
    }
    let mut gone = flooded(start);
    gone.hear(News::Unanswered("Connection refused (os error 111)".into()), start, SystemTime::now());
    gone.hear(News::Failed("x".repeat(500)), start + Duration::from_secs(72), SystemTime::now());
    apps.push(gone);
    for app in &apps {
        for size in SIZES {
            for colours in [true, false] {
                screen(app, size, start, colours);
            }
        }
    }
}

#[test]
fn a_terminal_of_80_by_24_shows_all_that_matters() {
    let start = Instant::now();
    let screen = screen(&flooded(start), (80, 24), start, false);
    for part in [
        "stopbank 0.1.0  enforce  eth0 native  up 1m 0s",
        "00:01:12 UTC",
        "ok: protected as configured",
        "dropped    5.90M/s 2.83 Gbit/s ",
        "REASON",
        "source-connections   5.90M",
        "amplification (obs",
        "CLASS",
        "INTERFACE",
        "2001:db8:1234:5678:9abc:def0:1234:5678  50.0%  2.95M source-connections",
        "203.0.113.9",
        "00:00:01 drops began: 100k/s, most of them source-connections in class web",
        "q quit  ? help  b ban  a allow",
    ] {
        assert!(screen.contains(part), "no {part:?} in\n{screen}");
    }
    let curve = screen.lines().find(|line| line.starts_with("dropped")).unwrap();
    assert!(curve.ends_with("████████"), "{curve}");
}

#[test]
fn the_smallest_screen_still_says_who_and_what_is_asked() {
    let start = Instant::now();
    let mut app = flooded(start);
    let small = screen(&app, (20, 5), start, false);
    assert!(small.starts_with("stopbank") && small.contains("2001:db8:1234:5678:9"), "{small}");
    press(&mut app, "jb\n");
    let small = screen(&app, (20, 5), start, false);
    assert!(small.contains("y: do it") && small.contains("203.0.113.9"), "{small}");
}

#[test]
fn b_asks_twice_and_bans_the_source_that_was_selected() {
    let start = Instant::now();
    let mut app = flooded(start);
    assert_eq!(press(&mut app, "jjb"), Then::Draw);
    let asked = screen(&app, (80, 24), start, false);
    assert!(asked.contains("198.51.100.7") && asked.contains("10m_"), "{asked}");
    // Another source becomes the first meanwhile: the question stays about this one.
    let mut other = look(1);
    other.top.sources.truncate(1);
    app.hear(News::Look(Box::new(other)), start, SystemTime::now());
    assert_eq!(press(&mut app, "\u{8}\u{8}\u{8}90s\n"), Then::Draw);
    let asked = screen(&app, (80, 24), start, false);
    for part in [
        "stopbank ban add 198.51.100.7 --for '1m 30s'",
        "Now, until 2026-01-01 00:02:42.",
        "dropped at the network card",
        "y: do it   n, Esc: leave it",
    ] {
        assert!(asked.contains(part), "no {part:?} in\n{asked}");
    }
    assert_eq!(press(&mut app, "\n"), Then::Draw, "Enter is no yes");
    let order = Order::Ban("198.51.100.7/32".parse().unwrap(), Some(Duration::from_secs(90)));
    assert_eq!(press(&mut app, "y"), Then::Do(order));
    assert_eq!(app.front, Front::None);
}

#[test]
fn nothing_is_done_without_a_yes() {
    let mut app = flooded(Instant::now());
    for keys in ["b\n\u{1b}", "b\nn", "b\u{1b}y", "a\n\u{1b}y", "m\u{1b}y", "mn", "by", "/y\n", "?y", "y"] {
        assert_eq!(press(&mut app, keys), Then::Draw, "{keys:?}");
        press(&mut app, "\u{1b}");
    }
    assert_eq!(press(&mut app, "my"), Then::Do(Order::Mode(Mode::Observe)));
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    press(&mut app, "b");
    assert_eq!((app.key(control('z')), app.key(control('c'))), (Then::Suspend, Then::Quit));
}

#[test]
fn an_agent_that_has_gone_is_said_to_have_and_comes_back() {
    let start = Instant::now();
    let mut app = flooded(start);
    let (now, clock) = after(60, start);
    app.hear(News::Unanswered("Connection refused".into()), now, clock);
    app.hear(News::Unanswered("No such file or directory".into()), now + Duration::from_secs(5), clock);
    let gone = screen(&app, (100, 30), start, true);
    assert!(gone.contains("agent does not answer, since 12 s"), "{gone}");
    assert!(gone.contains("203.0.113.9"), "the figures stay: {gone}");
    let mut next = look(61_000_000);
    next.status.pid += 1;
    next.status.mode = Mode::Observe;
    let (now, clock) = after(72, start);
    app.hear(News::Look(Box::new(next)), now, clock);
    let back = screen(&app, (100, 40), start, true);
    for part in [
        "00:01:12 the agent answers again, after 12s",
        "another agent answers: process 8",
        "the mode is observe now",
        "mode: observe, where the configuration says enforce",
        "OBSERVE: nothing is dropped",
    ] {
        assert!(back.contains(part), "no {part:?} in\n{back}");
    }
}

#[test]
fn a_pause_keeps_the_figures_and_the_watch() {
    let start = Instant::now();
    let mut app = flooded(start);
    press(&mut app, "p");
    let mut quiet = look(0);
    quiet.top.sources.clear();
    let (now, clock) = after(72, start);
    app.hear(News::Look(Box::new(quiet)), now, clock);
    let paused = screen(&app, (80, 24), start, false);
    assert!(paused.contains("PAUSED 00:00:59 UTC") && paused.contains("203.0.113.9"), "{paused}");
    press(&mut app, "p");
    let (now, clock) = after(72, start);
    app.hear(News::Unanswered("gone".into()), now, clock);
    assert!(screen(&app, (80, 24), start, false).contains("does not answer"));
}
