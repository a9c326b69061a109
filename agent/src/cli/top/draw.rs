//! What the screen looks like. Every part gives way to more important ones where there is little room: at 20x5 there are
//! the head, the state, two lines of sources and the keys.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    symbols::bar,
    text::{Line, Span},
    widgets::{Paragraph, Row, Sparkline, Table, TableState},
};

use super::{
    super::output::{bits, short, span},
    app::{App, Front, Look},
    front, sources,
};
use crate::{
    config::Mode,
    control::{
        api::{DropsReport, DropsRow, Flow, Verdict},
        problems::{Level, problems},
    },
    lists::printable,
};

/// What the terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Looks {
    /// Colours; without them, what is bad is bold.
    pub(super) colours: bool,
    /// Block characters; without them curves are of ASCII.
    pub(super) blocks: bool,
}

/// Longest text of an error that is shown, in characters.
const LONGEST: usize = 300;
/// For terminals without block characters.
const ASCII: bar::Set<'static> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "|",
    five_eighths: "|",
    half: ":",
    three_eighths: ":",
    one_quarter: ".",
    one_eighth: ".",
    empty: " ",
};

impl Looks {
    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    pub(super) fn warn(self) -> Style {
        self.coloured(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn heading() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

/// Lines that each part gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Plan {
    head: u16,
    health: u16,
    rates: u16,
    panels: u16,
    sources: u16,
    incidents: u16,
    foot: u16,
}

impl Plan {
    /// Of `height` lines, where panels would fill `rows` lines and there are `incidents`.
    fn of(height: u16, rows: u16, incidents: u16) -> Self {
        let left = &mut height.clone();
        // By worth: the first lines of each part, then more for those that have more to say.
        let foot = take(left, 1);
        let mut sources = take(left, 2);
        let health = take(left, 1);
        let head = take(left, 1);
        let rates = take(left, 3);
        sources += take(left, 3);
        // A heading alone says nothing.
        let mut panels = if *left >= 3 { take(left, rows.min(5) + 1) } else { 0 };
        let shown = incidents.min(3);
        let mut last = if *left >= 4 && shown > 0 { take(left, shown + 1) } else { 0 };
        sources += take(left, 8);
        if panels > 0 {
            panels += take(left, (rows + 1).saturating_sub(panels).min(6));
        }
        if last > 0 {
            last += take(left, (incidents + 1).saturating_sub(last).min(4));
        }
        sources += take(left, u16::MAX);
        Self { head, health, rates, panels, sources, incidents: last, foot }
    }
}

fn take(left: &mut u16, wanted: u16) -> u16 {
    let got = wanted.min(*left);
    *left -= got;
    got
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, looks: Looks, now: Instant, clock: SystemTime) {
    let area = frame.area();
    let panels = app.look.as_ref().map(Panels::of).unwrap_or_default();
    let incidents = app.incidents.len().try_into().unwrap_or(100);
    let plan = Plan::of(area.height, panels.rows(), incidents);
    let lines = [plan.head, plan.health, plan.rates, plan.panels, plan.sources, plan.incidents, plan.foot];
    let [head, health, rates, middle, list, below, foot] =
        Layout::vertical(lines.map(Constraint::Length)).areas(area);
    frame.render_widget(head_line(app, head.width, clock), head);
    frame.render_widget(health_line(app, looks, now), health);
    draw_rates(frame, app, looks, rates);
    panels.draw(frame, looks, middle);
    draw_sources(frame, app, looks, list);
    draw_incidents(frame, app, below);
    frame.render_widget(foot_line(app, looks, now), foot);
    front::draw(frame, app, looks, clock);
}

/// Version, mode, interfaces; the time to the right.
fn head_line(app: &App, width: u16, clock: SystemTime) -> Paragraph<'static> {
    let mut text = "stopbank".to_owned();
    if let Some(look) = &app.look {
        let status = &look.status;
        let interfaces: Vec<String> = status
            .interfaces
            .iter()
            .map(|interface| format!("{} {}", interface.name, interface.how()))
            .collect();
        let mode = match status.mode {
            Mode::Enforce => "enforce",
            Mode::Observe => "OBSERVE: nothing is dropped",
        };
        let up = span(status.uptime_seconds);
        text = format!("stopbank {}  {mode}  {}  up {up}", status.version, interfaces.join(", "));
    }
    let shown_at = if app.paused { app.looked } else { clock };
    let right = match (app.paused, width) {
        (true, _) => format!("PAUSED {} UTC", time_of_day(shown_at)),
        (false, 0..40) => String::new(),
        (false, _) => format!("{} UTC", time_of_day(shown_at)),
    };
    let room = usize::from(width).saturating_sub(right.len() + 1);
    let left: String = text.chars().take(room).collect();
    Paragraph::new(Line::styled(format!("{left:<room$} {right}"), Looks::heading()))
}

/// Whether all is well; otherwise the worst that is not.
fn health_line(app: &App, looks: Looks, now: Instant) -> Paragraph<'static> {
    if let Some((since, why)) = &app.unanswered {
        let gone = now.saturating_duration_since(*since).as_secs();
        let text = format!(
            "agent does not answer, since {gone} s; what it protected stays protected ({})",
            printable(why, LONGEST)
        );
        return Paragraph::new(Line::styled(text, looks.bad()));
    }
    let Some(look) = &app.look else { return Paragraph::new("asking the agent …") };
    let problems = problems(&look.status);
    let Some(worst) = problems.first() else {
        return Paragraph::new(Line::styled("ok: protected as configured", looks.good()));
    };
    let style = match worst.level {
        Level::Fail => looks.bad(),
        Level::Warn => looks.warn(),
    };
    let more = match problems.len() {
        1 => String::new(),
        all => format!("[1 of {all}] "),
    };
    Paragraph::new(Line::styled(format!("{more}{}", printable(&worst.to_string(), LONGEST)), style))
}

/// A line for what passes, what is dropped, what is observed, each with its curve.
fn draw_rates(frame: &mut Frame<'_>, app: &App, looks: Looks, area: Rect) {
    let traffic = app.look.as_ref().map(|look| look.drops.traffic).unwrap_or_default();
    let lines = [
        // What is dropped comes first: where there is room for one line, it is this.
        ("dropped", traffic.dropped, 1, looks.bad()),
        ("passed", traffic.passed, 0, looks.good()),
        ("observed", traffic.observed, 2, looks.warn()),
    ];
    for ((name, flow, series, style), row) in lines.into_iter().zip(area.rows()) {
        let text = if row.width >= 50 {
            format!("{name:<8} {:>7}/s {:>11} ", short(flow.packets_per_second), bits(flow.bytes_per_second))
        } else {
            format!("{name:<8} {:>7}/s ", short(flow.packets_per_second))
        };
        let width = text.len().try_into().unwrap_or(u16::MAX);
        let [left, right] = Layout::horizontal([Constraint::Length(width), Constraint::Min(0)]).areas(row);
        frame.render_widget(
            Line::styled(text, if flow.packets_per_second > 0.0 { style } else { Style::new() }),
            left,
        );
        let rates = &app.rates[series];
        let skip = rates.len().saturating_sub(usize::from(right.width));
        let curve: Vec<u64> = rates.iter().skip(skip).copied().collect();
        let set = if looks.blocks { bar::NINE_LEVELS } else { ASCII };
        frame.render_widget(Sparkline::default().data(&curve).bar_set(set).style(style), right);
    }
}

/// Reasons, classes and interfaces, busiest first.
#[derive(Debug, Default)]
struct Panels {
    reasons: Vec<(String, Flow, Verdict)>,
    classes: Vec<(String, f64, f64)>,
    interfaces: Vec<(String, f64, f64)>,
}

impl Panels {
    fn of(look: &Look) -> Self {
        let mut reasons: BTreeMap<(Verdict, &str), Flow> = BTreeMap::new();
        for row in look.drops.rows.iter().filter(|row| row.verdict != Verdict::Pass) {
            let flow = reasons.entry((row.verdict, &row.reason)).or_default();
            flow.packets += row.flow.packets;
            flow.packets_per_second += row.flow.packets_per_second;
        }
        let mut reasons: Vec<_> =
            reasons.into_iter().map(|((verdict, reason), flow)| (reason.to_owned(), flow, verdict)).collect();
        reasons.sort_by(|a, b| {
            let rates = b.1.packets_per_second.total_cmp(&a.1.packets_per_second);
            rates.then(b.1.packets.cmp(&a.1.packets))
        });
        let classes = dropped_and_passed(&look.drops, |row| row.class.as_deref());
        let interfaces = dropped_and_passed(&look.drops, |row| row.interface.as_deref());
        Self { reasons, classes, interfaces }
    }

    fn rows(&self) -> u16 {
        let rows = self.reasons.len().max(self.classes.len()).max(self.interfaces.len());
        rows.try_into().unwrap_or(100)
    }

    fn draw(&self, frame: &mut Frame<'_>, looks: Looks, area: Rect) {
        if area.is_empty() {
            return;
        }
        let shares: &[u16] = match area.width {
            0..46 => &[1],
            46..70 => &[1, 1],
            _ => &[1, 1, 1],
        };
        let areas =
            Layout::horizontal(shares.iter().map(|&share| Constraint::Fill(share))).spacing(1).split(area);
        let most = usize::from(area.height);
        let reasons = self.reasons.iter().take(most).map(|(reason, flow, verdict)| {
            let (name, style) = match verdict {
                Verdict::Drop => (reason.clone(), looks.bad()),
                Verdict::Reply => (reason.clone(), looks.good()),
                // The same reason may stand here as dropped as well.
                Verdict::Observed | Verdict::Pass => (format!("{reason} (obs.)"), looks.warn()),
            };
            let style = if flow.packets_per_second > 0.0 { style } else { Style::new() };
            Row::new([name, right(&short(flow.packets_per_second), 7), right(&short(flow.packets as f64), 7)])
                .style(style)
        });
        panel(frame, areas[0], ["REASON", "PKT/S", "EVER"], reasons);
        for (heading, entries, area) in
            [("CLASS", &self.classes, areas.get(1)), ("INTERFACE", &self.interfaces, areas.get(2))]
        {
            let Some(area) = area else { continue };
            let rows = entries.iter().take(most).map(|(name, dropped, passed)| {
                Row::new([name.clone(), right(&short(*dropped), 7), right(&short(*passed), 7)])
            });
            panel(frame, *area, [heading, "DROP/S", "PASS/S"], rows);
        }
    }
}

/// What is dropped (or would be) and what passes a second, by whatever `name` takes of a row.
fn dropped_and_passed<'a>(
    drops: &'a DropsReport,
    name: impl Fn(&'a DropsRow) -> Option<&'a str>,
) -> Vec<(String, f64, f64)> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in &drops.rows {
        let sum = sums.entry(name(row).unwrap_or("?")).or_default();
        match row.verdict {
            Verdict::Drop | Verdict::Observed => sum.0 += row.flow.packets_per_second,
            Verdict::Pass | Verdict::Reply => sum.1 += row.flow.packets_per_second,
        }
    }
    let mut sums: Vec<_> =
        sums.into_iter().map(|(name, (dropped, passed))| (name.to_owned(), dropped, passed)).collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.2.total_cmp(&a.2)));
    sums
}

fn panel<'a>(frame: &mut Frame<'_>, area: Rect, headings: [&'a str; 3], rows: impl Iterator<Item = Row<'a>>) {
    // What was ever dropped is the first to go where it is narrow.
    let [name, first, second] = headings;
    let header = Row::new([name.to_owned(), right(first, 7), right(second, 7)]);
    let mut widths = vec![Constraint::Min(0), Constraint::Length(7), Constraint::Length(7)];
    if second == "EVER" && area.width < 38 {
        widths.pop();
    }
    let table = Table::new(rows, widths).header(header.style(Looks::heading())).column_spacing(1);
    frame.render_widget(table, area);
}

fn right(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

fn draw_sources(frame: &mut Frame<'_>, app: &App, looks: Looks, area: Rect) {
    if area.is_empty() {
        return;
    }
    let sources = app.sources();
    let columns = sources::columns(&sources, area.width);
    let header = columns.iter().map(|&(column, width)| {
        let mark = match (column == app.sort, app.reversed) {
            (false, _) => "",
            (true, false) => "v",
            (true, true) => "^",
        };
        aligned(format!("{}{mark}", column.heading()), column.is_right(), width)
    });
    let rows = sources.iter().map(|source| {
        Row::new(
            columns.iter().map(|&(column, width)| aligned(column.cell(source), column.is_right(), width)),
        )
    });
    let header = Row::new(header).style(Looks::heading());
    let widths: Vec<_> = columns.iter().map(|&(_, width)| Constraint::Length(width)).collect();
    let table = Table::new(rows, widths)
        .header(header)
        .column_spacing(1)
        .row_highlight_style(looks.warn().add_modifier(Modifier::BOLD | Modifier::REVERSED));
    let mut state = TableState::default().with_selected(app.place(&sources));
    frame.render_stateful_widget(table, area, &mut state);
    if sources.is_empty() && area.height > 1 {
        let text = match (&app.look, app.filter.is_empty()) {
            (Some(look), false) if !look.top.sources.is_empty() => "no source passes the filter",
            _ => "no drops were sampled",
        };
        frame.render_widget(Line::raw(text), Rect { y: area.y + 1, height: 1, ..area });
    }
}

fn aligned(text: String, to_the_right: bool, width: u16) -> String {
    if to_the_right { right(&text, width.into()) } else { text }
}

fn draw_incidents(frame: &mut Frame<'_>, app: &App, area: Rect) {
    if area.is_empty() {
        return;
    }
    let heading = format!("{:<1$}", "SINCE THIS SCREEN IS OPEN", usize::from(area.width));
    let mut lines = vec![Line::styled(heading, Looks::heading())];
    lines.extend(
        app.incidents
            .latest(usize::from(area.height) - 1)
            .map(|(clock, text)| Line::raw(format!("{} {}", time_of_day(*clock), printable(text, LONGEST)))),
    );
    frame.render_widget(Paragraph::new(lines), area);
}

/// The filter while it is typed, what came of the last order, or the keys.
fn foot_line(app: &App, looks: Looks, now: Instant) -> Line<'static> {
    if app.front == Front::Filter {
        return Line::raw(format!("/{}_   Enter: keep it, Esc: drop it", app.filter));
    }
    if let Some((text, good)) = app.message(now) {
        return Line::styled(printable(text, LONGEST), if good { looks.good() } else { looks.bad() });
    }
    if !app.filter.is_empty() {
        return Line::raw(format!("filter: {}   Esc: drop it, ?: help", app.filter));
    }
    let keys =
        ["q quit", "? help", "b ban", "a allow", "/ filter", "s sort", "r reverse", "p pause", "m mode"];
    Line::from(keys.join("  ")).patch_style(Style::new().add_modifier(Modifier::DIM))
}

/// `21:40:12`, UTC.
pub(super) fn time_of_day(clock: SystemTime) -> String {
    date_and_time(clock).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// `2026-11-27 21:40:12`, UTC.
pub(super) fn date_and_time(clock: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(clock).to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// A line of a name and what it stands for.
pub(super) fn pair(name: &str, value: String) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("{name:<9}"), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(value),
    ])
}
