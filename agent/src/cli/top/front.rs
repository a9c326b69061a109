//! What stands in front of the screen: questions and help.

use std::time::SystemTime;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Text},
    widgets::{Block, Clear, Paragraph, Wrap},
};

use super::{
    app::{App, Front},
    ask::{Ask, List, Order, shown, until},
    draw::{Looks, pair},
};

/// Widest that a box gets, in cells.
const WIDEST: u16 = 76;

const HELP: [(&str, &str); 12] = [
    ("up down", "select a source; j k, PgUp PgDn, Home End too"),
    ("b", "ban it: asks how long, then whether"),
    ("a", "allow it: asks how long, then whether"),
    ("m", "the other mode: asks whether"),
    ("/", "filter by prefix, or by part of an address, reason or class"),
    ("s", "sort by the next column (v marks it)"),
    ("r", "the other way round (^)"),
    ("p", "stand still; the agent is watched on"),
    ("Esc", "drop filter and message"),
    ("Ctrl-Z", "suspend"),
    ("q", "quit; nothing is changed by that"),
    ("", "dropped and passed are exact, sources an estimate from a sample."),
];

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, looks: Looks, clock: SystemTime) {
    match &app.front {
        Front::None | Front::Filter => {}
        Front::Help => {
            let lines = HELP.iter().map(|(key, what)| pair(key, (*what).to_owned()));
            open(frame, "keys", lines.collect());
        }
        Front::Ask(ask) => {
            let title = match ask {
                Ask::Time { list: List::Ban, .. } | Ask::Confirm(Order::Ban(..)) => "ban",
                Ask::Time { list: List::Allow, .. } | Ask::Confirm(Order::Allow(..)) => "allow",
                Ask::Confirm(Order::Mode(_)) => "mode",
            };
            open(frame, title, lines(ask, app, looks, clock));
        }
    }
}

fn lines(ask: &Ask, app: &App, looks: Looks, clock: SystemTime) -> Vec<Line<'static>> {
    match ask {
        Ask::Time { choices, text, error, .. } => {
            let prefix = ask.prefix().map(|prefix| shown(&prefix)).unwrap_or_default();
            let mut lines = vec![pair("what", prefix), pair("for", format!("{text}_"))];
            lines.push(match error {
                Some(error) => Line::styled(error.clone(), looks.bad()),
                None if text.trim().is_empty() => Line::raw("until it is removed"),
                None => Line::raw("90s, 10m, 2h, 1day; empty: until it is removed"),
            });
            if choices[0] != choices[1] {
                let [narrow, broad] = choices.map(|choice| shown(&choice));
                lines.push(Line::raw(format!("Tab: {narrow} or {broad}")));
            }
            lines.push(Line::raw("Enter: go on   Esc: leave it"));
            lines
        }
        Ask::Confirm(order) => {
            let mut lines = vec![Line::styled(order.command(), looks.warn())];
            if let Order::Ban(_, time) | Order::Allow(_, time) = order {
                lines.push(Line::raw(format!("Now, {}.", until(*time, clock))));
            }
            lines.push(Line::raw(order.consequence(app.mode())));
            if let Order::Mode(_) = order {
                lines.push(Line::raw("It lasts until the next reload or restart of the agent."));
            }
            lines.push(Line::styled("y: do it   n, Esc: leave it", looks.bad()));
            lines
        }
    }
}

/// A box in the middle, as large as the text, and no larger than the screen.
fn open(frame: &mut Frame<'_>, title: &str, mut lines: Vec<Line<'static>>) {
    let screen = frame.area();
    let bordered = screen.height >= 7 && screen.width >= 24;
    let (beside, above) = if bordered { (4, 2) } else { (0, 0) };
    let widest = lines.iter().map(Line::width).max().unwrap_or(0) as u16;
    let width = widest.saturating_add(beside).min(WIDEST).min(screen.width);
    // Lines that do not fit are wrapped, and take more: room for a word that moves on as well.
    let inner = usize::from((width - beside.min(width)).max(1));
    let wrapped = |line: &Line<'_>| line.width().div_ceil(inner).max(1) + usize::from(line.width() > inner);
    let needed = lines.iter().map(wrapped).sum::<usize>() as u16 + above;
    let height = needed.min(screen.height);
    if needed > screen.height {
        // What the keys do must be seen, whatever else is not.
        lines.rotate_right(1);
    }
    let text = Text::from(lines);
    let area = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, area);
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false });
    if bordered {
        let block =
            Block::bordered().title(format!(" {title} ")).padding(ratatui::widgets::Padding::horizontal(1));
        frame.render_widget(paragraph.block(block), area);
    } else {
        frame.render_widget(paragraph, area);
    }
}
