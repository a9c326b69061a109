//! The configuration as types. Whatever stands here has been checked.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use stopbank_common::{Reason, gcra::Dimension, parse::Tunnel, signature::Signature};

use super::rate::{Period, Rate, RateLimit};
use crate::lists::feeds::Format;

/// Whether what is judged bad is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything passes; what would have been dropped is counted as such.
    Observe,
    /// What is judged bad is dropped.
    Enforce,
}

impl Mode {
    /// Its name in the configuration, the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// What becomes of IP fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fragments {
    /// They are judged like other packets; later ones, which carry no ports, by the class for fragments.
    Judge,
    /// All are dropped.
    Drop,
}

/// How the program is attached to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// In the driver.
    Native,
    /// In the kernel's stack, behind the driver: slower, but every interface can.
    Generic,
}

impl Attach {
    /// How a program is attached.
    pub const fn of(program: crate::datapath::link::AttachedProgram) -> Self {
        if program.native { Self::Native } else { Self::Generic }
    }

    /// Its name in the configuration, the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// What the packets that come in are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// [`Role::Host`], unless the host forwards packets.
    Auto,
    /// This host's own sockets.
    Host,
    /// Anybody: nothing is asked of sockets.
    Any,
    /// Hosts behind this one, whose flows the table knows.
    Gateway,
}

impl Role {
    /// Its name in the configuration, the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Host => "host",
            Self::Any => "any",
            Self::Gateway => "gateway",
        }
    }
}

/// The whole configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `mode`.
    pub mode: Mode,
    /// `role`.
    pub role: Role,
    /// `fragments`.
    pub fragments: Fragments,
    /// `udp_needs_socket`: UDP to a port that no socket is bound to is dropped.
    pub udp_needs_socket: bool,
    /// `observe`: rules, by their reason, that are evaluated and counted, and drop nothing.
    pub observe: Vec<Reason>,
    /// `manage_sysctls`: the agent makes the settings that SYN cookies need.
    pub manage_sysctls: bool,
    /// `amplifiers`: UDP source ports from which only answers come, or abuse.
    pub amplifiers: Vec<PortRange>,
    /// `[agent]`.
    pub agent: Agent,
    /// `[[interface]]`, in the order of the file.
    pub interfaces: Vec<Interface>,
    /// `[source]`.
    pub source: Source,
    /// `[flows]`.
    pub flows: Flows,
    /// `[tunnels]`.
    pub tunnels: Tunnels,
    /// `[events] rate`: most events a second that the kernel hands over.
    pub events: Rate,
    /// `[lists]`.
    pub lists: ConfiguredLists,
    /// `[[list]]`, in the order of the file.
    pub list_files: Vec<ListFile>,
    /// `[[signature]]`, in the order of the file, which is that in which they are asked.
    pub signatures: Vec<SignatureRule>,
    /// `[default]`.
    pub default: Class,
    /// `[[class]]`, in the order of the file.
    pub classes: Vec<Class>,
}

/// `[agent]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// Directory on a BPF file system where maps and links are pinned.
    pub pin_dir: PathBuf,
    /// Directory for what must survive a reboot.
    pub state_dir: PathBuf,
    /// The control API's unix socket.
    pub socket: PathBuf,
    /// Where metrics are served, on loopback; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

/// One `[[interface]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// As the kernel names it, a pattern of such names, or `default-route`; see [`Interface::selector`].
    pub name: String,
    /// How to attach.
    pub attach: Attach,
    /// Whether it, or one that matches, must be there when the agent starts.
    pub required: bool,
}

/// `[source]`: what counts as one source, and how much state there is for all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// Bits of an IPv4 address that make a source.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that make a source.
    pub ipv6_prefix: u8,
    /// Lines of rate state, 64 bytes each; a power of two.
    pub lines: u32,
}

/// `[flows]`: the table of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flows {
    /// Lines of eight flows, 64 bytes each; a power of two.
    pub lines: u32,
    /// For how long after the table is new what belongs to no flow passes.
    pub learn: Duration,
}

/// `[tunnels]`: of which ones what they carry is judged too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunnels {
    /// Kinds, each once.
    pub inspect: Vec<Tunnel>,
    /// UDP destination ports of VXLAN: one to four.
    pub vxlan_ports: Vec<u16>,
}

/// `[lists]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConfiguredLists {
    /// Sources that pass at once.
    pub allow: Vec<IpNet>,
    /// Sources that are dropped.
    pub deny: Vec<IpNet>,
}

/// What becomes of the sources on a list file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListAction {
    /// They pass at once.
    Allow,
    /// They are dropped.
    Deny,
}

impl ListAction {
    /// Its name in the configuration, the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// One `[[list]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListFile {
    /// 1 to 32 characters of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// What becomes of its sources.
    pub action: ListAction,
    /// Of a table of countries: these, ISO 3166 codes in upper case.
    pub countries: Vec<String>,
    /// Of a table of autonomous systems: these.
    pub asns: Vec<u32>,
}

/// One `[[signature]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureRule {
    /// 1 to 32 characters of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// What a packet must look like, as the kernel reads it.
    pub matches: Signature,
}

/// What a class claims.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// What no other class claims.
    Rest,
    /// TCP to these ports; none given: to every port that no other class claims.
    Tcp(Vec<PortRange>),
    /// UDP to these ports; none given: to every port that no other class claims.
    Udp(Vec<PortRange>),
    /// UDP from amplifiers to ports that no class names.
    Answers,
    /// Later fragments, which carry no ports.
    Fragments,
    /// ICMP and ICMPv6.
    Icmp,
    /// Another IP protocol, by number.
    Protocol(u8),
}

/// Ports `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortRange {
    /// At least 1.
    pub first: u16,
    /// At least `first`.
    pub last: u16,
}

/// A `[[class]]`, or `[default]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Class {
    /// Lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Which packets are of this class.
    pub claim: Claim,
    /// Everything of this class is dropped.
    pub closed: bool,
    /// Its limits are evaluated and counted, and drop nothing.
    pub observe: bool,
    /// Names of the signatures that its packets are held against.
    pub signatures: Vec<String>,
    /// For each source.
    pub per_source: LimitSet,
    /// For each prefix that is wider than a source.
    pub per_prefix: Vec<PrefixLimits>,
    /// For all sources together.
    pub total: LimitSet,
    /// Percent of the total that proven sources have before all others.
    pub proven_share: u8,
    /// When SYNs are answered with cookies.
    pub syn_cookies: SynCookies,
}

/// `syn_cookies`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SynCookies {
    /// Whether, and how.
    pub mode: CookieMode,
    /// `auto`: from more SYNs of the whole class than this on …
    pub above: Rate,
    /// … until there have been no more for so long.
    pub hold: Duration,
}

/// When SYNs are answered with cookies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CookieMode {
    /// Never.
    Off,
    /// While there are too many.
    Auto,
    /// Always.
    Always,
}

impl Default for SynCookies {
    fn default() -> Self {
        // A kernel with usual settings holds a few thousand connections half open, for a minute each.
        Self {
            mode: CookieMode::Off,
            above: Rate { count: 1_000, period: Period::Second },
            hold: Duration::from_secs(30),
        }
    }
}

/// One `[[class.per_prefix]]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixLimits {
    /// At which prefix length.
    pub length: PrefixLength,
    /// For each prefix of that length.
    pub limits: LimitSet,
}

/// Bits of an address that make a prefix. One of the two at least is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PrefixLength {
    /// IPv6.
    pub ipv6: Option<u8>,
    /// IPv4.
    pub ipv4: Option<u8>,
}

impl Class {
    /// What holds where nothing is said.
    pub const DEFAULT_PROVEN_SHARE: u8 = 50;

    /// A class without limits.
    pub fn new(name: &str, claim: Claim) -> Self {
        Self {
            name: name.to_owned(),
            claim,
            closed: false,
            observe: false,
            signatures: Vec::new(),
            per_source: LimitSet::default(),
            per_prefix: Vec::new(),
            total: LimitSet::default(),
            proven_share: Self::DEFAULT_PROVEN_SHARE,
            syn_cookies: SynCookies::default(),
        }
    }
}

/// Limits by what they count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LimitSet {
    /// `packets`.
    pub packets: Option<RateLimit>,
    /// `bytes`: of whole frames, Ethernet header included.
    pub bytes: Option<RateLimit>,
    /// `connections`: TCP segments with SYN and without ACK.
    pub connections: Option<RateLimit>,
}

impl LimitSet {
    /// The limit on one dimension.
    pub const fn get(&self, dimension: Dimension) -> Option<RateLimit> {
        match dimension {
            Dimension::Packets => self.packets,
            Dimension::Bytes => self.bytes,
            Dimension::Connections => self.connections,
        }
    }

    /// The place of the limit on one dimension.
    pub const fn get_mut(&mut self, dimension: Dimension) -> &mut Option<RateLimit> {
        match dimension {
            Dimension::Packets => &mut self.packets,
            Dimension::Bytes => &mut self.bytes,
            Dimension::Connections => &mut self.connections,
        }
    }

    /// Whether nothing is limited.
    pub const fn is_empty(&self) -> bool {
        self.packets.is_none() && self.bytes.is_none() && self.connections.is_none()
    }
}

/// The key that names a dimension in the configuration, the API and the CLI.
pub const fn dimension_name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Packets => "packets",
        Dimension::Bytes => "bytes",
        Dimension::Connections => "connections",
    }
}

impl Config {
    /// What holds for every key that a file leaves out: the same as the shipped `agent/config/stopbank.toml`.
    pub fn builtin() -> Self {
        let per_second = |count| Rate { count, period: Period::Second };
        Self {
            mode: Mode::Enforce,
            role: Role::Auto,
            fragments: Fragments::Judge,
            udp_needs_socket: false,
            manage_sysctls: false,
            observe: Vec::new(),
            amplifiers: super::amplifiers::ports(),
            agent: Agent {
                pin_dir: PathBuf::from("/sys/fs/bpf/stopbank"),
                state_dir: PathBuf::from("/var/lib/stopbank"),
                socket: PathBuf::from("/run/stopbank/control.sock"),
                metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9117))),
            },
            interfaces: Vec::new(),
            source: Source { ipv4_prefix: 32, ipv6_prefix: 64, lines: 1 << 14 },
            flows: Flows { lines: 1 << 16, learn: Duration::from_secs(60) },
            tunnels: Tunnels::default(),
            events: per_second(200),
            lists: ConfiguredLists::default(),
            list_files: Vec::new(),
            signatures: Vec::new(),
            default: super::builtin::default_class(),
            classes: super::builtin::classes(),
        }
    }

    /// Name of the class that takes the rest.
    pub const DEFAULT_CLASS: &'static str = "default";
    /// What packets that have no class yet are counted under.
    pub const NO_CLASS: &'static str = "none";

    /// The default class, then the others.
    pub fn all_classes(&self) -> impl Iterator<Item = &Class> {
        std::iter::once(&self.default).chain(&self.classes)
    }

    /// The class with a name.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.all_classes().find(|class| class.name == name)
    }

    /// The same, to be changed.
    pub fn class_mut(&mut self, name: &str) -> Option<&mut Class> {
        std::iter::once(&mut self.default).chain(&mut self.classes).find(|class| class.name == name)
    }

    /// What is no error but worth telling whoever checks the file.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.interfaces.is_empty() {
            notes.push("no [[interface]]: `stopbank run` needs at least one".to_owned());
        }
        if self.mode == Mode::Observe {
            notes.push("mode is \"observe\": nothing is dropped, only counted".to_owned());
        }
        for class in &self.classes {
            let limited =
                !class.per_source.is_empty() || !class.per_prefix.is_empty() || !class.total.is_empty();
            let judged = !class.signatures.is_empty() || class.syn_cookies.mode != CookieMode::Off;
            if !class.closed && !limited && !judged {
                notes.push(format!(
                    "class `{}` has no limits: its packets are counted apart, and pass",
                    class.name
                ));
            }
        }
        notes
    }
}

impl Claim {
    /// In words, as `stopbank limit ls` shows it.
    pub fn show(&self) -> String {
        let ports = |name: &str, ranges: &[PortRange]| {
            let ranges: Vec<String> = ranges.iter().map(PortRange::show).collect();
            if ranges.is_empty() { format!("{name} (rest)") } else { format!("{name} {}", ranges.join(",")) }
        };
        match self {
            Self::Rest => "the rest".to_owned(),
            Self::Tcp(ranges) => ports("tcp", ranges),
            Self::Udp(ranges) => ports("udp", ranges),
            Self::Answers => "udp from amplifiers".to_owned(),
            Self::Fragments => "later fragments".to_owned(),
            Self::Icmp => "icmp".to_owned(),
            Self::Protocol(number) => format!("protocol {number}"),
        }
    }
}

impl PortRange {
    /// `80` or `8000-8010`.
    pub fn show(&self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) }
    }
}
