//! `stopbank simulate`.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    output::{self, Output, notes, print, short},
    table::Table,
};
use crate::{
    capture::Capture,
    config::{self, Config, Quantity, parse_rate},
    control::api::Verdict,
    failure::{Code, Failure},
    simulate::{Judged, Pace, Report, Settings, Simulation, explain::Explained},
};

/// Try a capture: what would be dropped of it, and why; needs root, and no agent
///
/// The packets of a pcap or pcapng file, gzip'd or not, run through the same program that protects an interface, by a
/// clock of the capture's own. Nothing is attached, sent or left behind, and an agent that runs takes no notice.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank simulate --pcap attack.pcap                           what the built-in configuration does to it
  stopbank simulate --pcap attack.pcap -c my.toml                what yours does
  stopbank simulate --pcap attack.pcap --rate 200k/s             the same packets, but 200,000 a second
  stopbank simulate --pcap day.pcap --assume-sockets             an ordinary day, which is for sockets that there are
  stopbank simulate --pcap day.pcapng --explain --only dropped   each packet that is dropped, on a line
  stopbank simulate --pcap day.pcapng --explain -o jsonl         each packet as a JSON object
  tcpdump -i eth0 -Q in -w - -c 100000 | stopbank simulate --pcap -

Capture what comes in (tcpdump's `-Q in`): the program meets no other packets on a network either. There are no sockets
in a capture: where a rule asks for one, there is none, or with --assume-sockets always one.

Exit codes: 0 judged, whatever the verdicts; 1 no or a corrupt capture; 3 no such file; 77 not permitted; 78 configuration.")]
pub(super) struct Simulate {
    /// The capture; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    pcap: PathBuf,
    /// Configuration to judge by; its interfaces do not matter [default: the built-in one]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// When the packets come: as they were captured, or evenly, so many a second (`N/s`; also /m, /h, /d)
    #[arg(long, value_name = "original|N/s", default_value = "original", value_parser = pace)]
    rate: Pace,
    /// Take every socket that a rule asks for to exist, instead of none
    #[arg(long)]
    assume_sockets: bool,
    /// Tell of each packet; -o jsonl gives one object a line
    #[arg(long)]
    explain: bool,
    /// Tell of that many packets at most
    #[arg(long, value_name = "N", requires = "explain")]
    limit: Option<u64>,
    /// Tell of these only
    #[arg(long, value_enum, requires = "explain")]
    only: Option<Only>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Only {
    /// What is dropped
    Dropped,
    /// What passes
    Passed,
    /// What passes because what would drop it only observes
    Observed,
}

fn pace(text: &str) -> Result<Pace, String> {
    if text == "original" {
        return Ok(Pace::Original);
    }
    match parse_rate(text, Quantity::Count) {
        Ok(rate) => Ok(Pace::Even(rate)),
        Err(why) => Err(format!("{why}; give `original`, or packets and a time: 5000/s, 1M/s, 90/m")),
    }
}

impl Simulate {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let (config, name) = match &self.config {
            Some(file) => (config::load(file)?, file.display().to_string()),
            None => (Config::builtin(), "built in".to_owned()),
        };
        if output != Output::Json {
            notes(
                &config
                    .notes()
                    .into_iter()
                    .filter(|note| !note.starts_with("no [[interface]]"))
                    .collect::<Vec<_>>(),
            );
        }
        let progress = self.progress(output);
        let mut capture =
            Capture::open(open(&self.pcap, &progress)?).map_err(|error| self.about(error.into()))?;
        let settings = Settings { config, pace: self.rate, assume_sockets: self.assume_sockets };
        let simulation = Simulation::new(&settings)?;
        let mut teller = Teller::new(&self, output);
        let outcome = simulation.run(&mut capture, |judged| teller.tell(judged));
        progress.finish_and_clear();
        let mut report = match outcome {
            Ok(report) => report,
            Err(failure) => {
                teller.flush()?;
                return Err(self.about(failure));
            }
        };
        report.capture = self.name();
        report.config = name;
        report.rate = match self.rate {
            Pace::Original => "original".to_owned(),
            Pace::Even(rate) => rate.show(Quantity::Count),
        };
        teller.finish(&report)
    }

    /// How much of the file was read, where stderr is a terminal and packets are not told on the same one.
    fn progress(&self, output: Output) -> ProgressBar {
        let length = std::fs::metadata(&self.pcap).map_or(0, |metadata| metadata.len());
        let told = self.explain && output != Output::Json && io::stdout().is_terminal();
        if is_stdin(&self.pcap) || length == 0 || told {
            return ProgressBar::hidden();
        }
        // It hides itself where stderr is no terminal.
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left") {
            bar.set_style(style.progress_chars("#>-"));
        }
        bar
    }

    fn name(&self) -> String {
        if is_stdin(&self.pcap) { "standard input".to_owned() } else { self.pcap.display().to_string() }
    }

    /// Names the capture in what is wrong with it.
    fn about(&self, failure: Failure) -> Failure {
        Failure { message: format!("{}: {}", self.name(), failure.message), ..failure }
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn open(path: &Path, progress: &ProgressBar) -> Result<Box<dyn Read + Send>, Failure> {
    if is_stdin(path) {
        return Ok(Box::new(io::stdin()));
    }
    let failed = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::PermissionDenied => Code::Permission,
            _ => Code::Failed,
        };
        Failure::new(code, format!("cannot read the capture {}: {error}", path.display()))
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(progress.wrap_read(file)))
}

/// Tells of packets as they are judged, and of the whole at the end.
struct Teller {
    out: io::BufWriter<io::Stdout>,
    output: Output,
    explain: bool,
    left: u64,
    only: Option<Only>,
    told: u64,
}

impl Teller {
    fn new(simulate: &Simulate, output: Output) -> Self {
        Self {
            out: io::BufWriter::with_capacity(1 << 16, io::stdout()),
            output,
            explain: simulate.explain,
            left: simulate.limit.unwrap_or(u64::MAX),
            only: simulate.only,
            told: 0,
        }
    }

    fn tell(&mut self, judged: &Judged<'_>) -> Result<(), Failure> {
        let wanted = match self.only {
            None => true,
            Some(Only::Dropped) => judged.verdict == Verdict::Drop,
            Some(Only::Passed) => judged.verdict == Verdict::Pass,
            Some(Only::Observed) => judged.verdict == Verdict::Observed,
        };
        if !self.explain || !wanted || self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        let explained = Explained::of(judged);
        let first = self.told == 0;
        self.told += 1;
        match self.output {
            Output::Table => {
                if first {
                    self.write(Explained::headings().as_bytes())?;
                }
                self.write(explained.line().as_bytes())
            }
            // In the one object of `-o json` they are an array, written as they come.
            Output::Json => {
                self.write(if first { b"{\n  \"explain\": [\n    " } else { b",\n    " })?;
                self.json(&explained)
            }
            Output::Jsonl => {
                self.json(&explained)?;
                self.write(b"\n")
            }
        }
    }

    /// Closes what was told with the report; where each line is a packet, nothing else is.
    fn finish(mut self, report: &Report) -> Result<(), Failure> {
        match self.output {
            Output::Json if self.explain => {
                let whole = serde_json::to_string_pretty(report).map_err(|error| cannot_write(&error))?;
                let opening = if self.told == 0 { "{\n  \"explain\": [" } else { "" };
                self.write(opening.as_bytes())?;
                self.write(b"\n  ],")?;
                self.write(whole.trim_start_matches('{').as_bytes())?;
                self.write(b"\n")?;
                self.flush()
            }
            Output::Jsonl if self.explain => {
                self.flush()?;
                notes(&report.warnings);
                Ok(())
            }
            Output::Json | Output::Jsonl => self.output.print(report, |_| String::new()),
            Output::Table => {
                if self.told > 0 {
                    self.write(b"\n")?;
                }
                self.flush()?;
                notes(&report.warnings);
                print(&table(report))
            }
        }
    }

    fn json(&mut self, explained: &Explained<'_>) -> Result<(), Failure> {
        let text = serde_json::to_vec(explained).map_err(|error| cannot_write(&error))?;
        self.write(&text)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        output::written(self.out.write_all(bytes))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        output::written(self.out.flush())
    }
}

fn cannot_write(error: &serde_json::Error) -> Failure {
    Failure::new(Code::Failed, format!("cannot write JSON: {error}"))
}

fn table(report: &Report) -> String {
    let share = |packets: u64| match report.packets {
        0 => "-".to_owned(),
        all => format!("{:.2} %", packets as f64 * 100.0 / all as f64),
    };
    let bytes = |bytes: u64| output::bytes(bytes as f64);
    let mut text = format!(
        "{}: {} packets, {} in {:.3} s{}; configuration: {}, mode {}\n",
        crate::lists::printable(&report.capture, 250),
        report.packets,
        bytes(report.bytes),
        report.duration_seconds,
        match report.duration_seconds {
            seconds if seconds > 0.0 => format!(" ({} packets/s)", short(report.packets as f64 / seconds)),
            _ => String::new(),
        },
        crate::lists::printable(&report.config, 250),
        report.mode,
    );
    let mut verdicts = Table::new(&["VERDICT", ">PACKETS", ">SHARE"]);
    let replied = (report.replied > 0).then_some(("replied", report.replied));
    let always = [("dropped", report.dropped), ("observed", report.observed), ("passed", report.passed)];
    for (name, packets) in always.into_iter().chain(replied) {
        verdicts.row([name.to_owned(), packets.to_string(), share(packets)]);
    }
    let mut reasons = Table::new(&["REASON", "VERDICT", ">PACKETS", ">SHARE", ">BYTES", "MEANING"]);
    for row in &report.by_reason {
        reasons.row([
            row.reason.to_owned(),
            row.verdict.name().to_owned(),
            row.packets.to_string(),
            share(row.packets),
            bytes(row.bytes),
            row.description.to_owned(),
        ]);
    }
    let mut classes =
        Table::new(&["CLASS", ">PACKETS", ">SHARE", ">BYTES", ">DROPPED", ">OBSERVED", ">PASSED"]);
    for (name, flow) in &report.classes {
        classes.row([
            name.clone(),
            flow.packets.to_string(),
            share(flow.packets),
            bytes(flow.bytes),
            flow.dropped.to_string(),
            flow.observed.to_string(),
            flow.passed.to_string(),
        ]);
    }
    for table in [verdicts, reasons, classes] {
        text.push('\n');
        text.push_str(&table.show());
    }
    text
}
