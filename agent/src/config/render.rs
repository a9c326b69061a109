//! A configuration as TOML, with every key written out: what `stopbank config show --effective` prints.

use std::fmt::Write as _;

use stopbank_common::gcra::Dimension;

use super::{
    cookies,
    model::{Claim, Class, Config, Fragments, LimitSet, PortRange, dimension_name},
    rate::{Quantity, RateLimit, show_amount},
    signatures, tunnels,
};

/// The text, which [`super::parse`] reads back as the same configuration.
pub fn render(config: &Config) -> String {
    let mut out = String::new();
    let fragments = match config.fragments {
        Fragments::Judge => "judge",
        Fragments::Drop => "drop",
    };
    let metrics = config.agent.metrics.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let _ = writeln!(out, "mode = \"{}\"\nrole = \"{}\"", config.mode.name(), config.role.name());
    let _ = writeln!(out, "fragments = \"{fragments}\"\nudp_needs_socket = {}", config.udp_needs_socket);
    let observed: Vec<String> =
        config.observe.iter().map(|reason| format!("\"{}\"", reason.name())).collect();
    let _ = writeln!(out, "observe = [{}]", observed.join(", "));
    let _ = writeln!(out, "manage_sysctls = {}", config.manage_sysctls);
    let _ = writeln!(out, "amplifiers = [{}]\n", ports(&config.amplifiers));
    let _ = writeln!(out, "[agent]");
    let _ = writeln!(out, "pin_dir = {}", string(&config.agent.pin_dir.to_string_lossy()));
    let _ = writeln!(out, "state_dir = {}", string(&config.agent.state_dir.to_string_lossy()));
    let _ = writeln!(out, "socket = {}", string(&config.agent.socket.to_string_lossy()));
    let _ = writeln!(out, "metrics = \"{metrics}\"");
    for interface in &config.interfaces {
        let _ = writeln!(out, "\n[[interface]]\nname = {}", string(&interface.name));
        let _ = writeln!(out, "attach = \"{}\"\nrequired = {}", interface.attach.name(), interface.required);
    }
    let source = config.source;
    let _ = writeln!(out, "\n[source]\nipv4_prefix = {}", source.ipv4_prefix);
    let _ = writeln!(out, "ipv6_prefix = {}\nlines = {}", source.ipv6_prefix, source.lines);
    let _ = writeln!(
        out,
        "\n[flows]\nlines = {}\nlearn = \"{}s\"",
        config.flows.lines,
        config.flows.learn.as_secs()
    );
    tunnels::show(&mut out, &config.tunnels);
    let _ = writeln!(out, "\n[events]\nrate = \"{}\"", config.events.show(Quantity::Count));
    let _ = writeln!(out, "\n[lists]");
    for (key, prefixes) in [("allow", &config.lists.allow), ("deny", &config.lists.deny)] {
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| format!("\"{prefix}\"")).collect();
        let _ = writeln!(out, "{key} = [{}]", prefixes.join(", "));
    }
    for list in &config.list_files {
        let _ = writeln!(out, "\n[[list]]\nname = \"{}\"", list.name);
        let _ = writeln!(out, "path = {}", string(&list.path.to_string_lossy()));
        let _ = writeln!(out, "format = \"{}\"\naction = \"{}\"", list.format.name(), list.action.name());
        if !list.countries.is_empty() {
            let _ = writeln!(out, "countries = {:?}", list.countries);
        }
        if !list.asns.is_empty() {
            let _ = writeln!(out, "asns = {:?}", list.asns);
        }
    }
    config.signatures.iter().for_each(|rule| signatures::show(&mut out, rule));
    let _ = writeln!(
        out,
        "\n[default]\nclosed = {}\nobserve = {}\nsyn_cookies = {}",
        config.default.closed,
        config.default.observe,
        cookies::show(&config.default.syn_cookies)
    );
    limits(&mut out, "default", &config.default);
    for class in &config.classes {
        let origin = if Config::is_builtin(class) { "# Built in.\n" } else { "" };
        let _ = writeln!(out, "\n{origin}[[class]]\nname = \"{}\"", class.name);
        claim(&mut out, &class.claim);
        let _ = writeln!(out, "closed = {}\nobserve = {}", class.closed, class.observe);
        if matches!(class.claim, Claim::Tcp(_)) {
            let _ = writeln!(out, "syn_cookies = {}", cookies::show(&class.syn_cookies));
        }
        limits(&mut out, "class", class);
    }
    out
}

fn claim(out: &mut String, claim: &Claim) {
    let mut transport = |name: &str, ranges: &[PortRange]| {
        let _ = writeln!(out, "protocol = \"{name}\"");
        if !ranges.is_empty() {
            let _ = writeln!(out, "ports = [{}]", ports(ranges));
        }
    };
    match claim {
        Claim::Rest => {}
        Claim::Tcp(ranges) => transport("tcp", ranges),
        Claim::Udp(ranges) => transport("udp", ranges),
        Claim::Answers => transport("amplifiers", &[]),
        Claim::Fragments => transport("fragments", &[]),
        Claim::Icmp => transport("icmp", &[]),
        Claim::Protocol(number) => {
            let _ = writeln!(out, "protocol = {number}");
        }
    }
}

fn limits(out: &mut String, table: &str, class: &Class) {
    if !class.signatures.is_empty() {
        let _ = writeln!(out, "signatures = {:?}", class.signatures);
    }
    for (key, set) in [("per_source", &class.per_source), ("total", &class.total)] {
        if !set.is_empty() {
            let _ = writeln!(out, "[{table}.{key}]");
            limit_set(out, set);
            if key == "total" {
                let _ = writeln!(out, "proven = \"{}%\"", class.proven_share);
            }
        }
    }
    for prefix in &class.per_prefix {
        let _ = writeln!(out, "[[{table}.per_prefix]]");
        for (key, bits) in [("ipv4", prefix.length.ipv4), ("ipv6", prefix.length.ipv6)] {
            if let Some(bits) = bits {
                let _ = writeln!(out, "{key} = {bits}");
            }
        }
        limit_set(out, &prefix.limits);
    }
}

/// `80, "8000-8010"`.
fn ports(ranges: &[PortRange]) -> String {
    let show = |range: &PortRange| {
        if range.first == range.last { range.show() } else { format!("\"{}\"", range.show()) }
    };
    ranges.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn limit_set(out: &mut String, set: &LimitSet) {
    for dimension in Dimension::ALL {
        if let Some(RateLimit { rate, burst }) = set.get(dimension) {
            let quantity = Quantity::from(dimension);
            let _ = writeln!(
                out,
                "{} = {{ rate = \"{}\", burst = \"{}\" }}",
                dimension_name(dimension),
                rate.show(quantity),
                show_amount(burst, quantity)
            );
        }
    }
}

/// A basic string of TOML.
fn string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DEFAULT, parse};

    #[test]
    fn the_shipped_file_says_what_holds_without_it() {
        assert_eq!(parse("stopbank.toml", DEFAULT).unwrap(), Config::builtin());
        assert_eq!(parse("empty", "").unwrap(), Config::builtin());
    }

    #[test]
    fn the_examples_in_the_shipped_file_are_valid() {
        let uncommented: String = DEFAULT
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let config = parse("stopbank.toml", &uncommented).unwrap();
        assert_eq!((config.interfaces.len(), config.classes.len(), config.list_files.len()), (1, 9, 2));
    }

    #[test]
    fn what_is_rendered_reads_back_the_same() {
        let text = r#"
            mode = "observe"
            manage_sysctls = true
            fragments = "drop"
            agent = { metrics = "off", socket = "/run/a \"b\"\\c/é\u0001.sock" }
            interface = [{ name = "eth0" }, { name = "eth1.100", attach = "generic" }]
            tunnels = { inspect = ["vxlan", "gre"], vxlan_ports = [8472, 4789] }
            lists = { allow = ["192.0.2.0/24", "::1"], deny = ["2001:db8::/32"] }
            [[list]]
            name = "drop"
            path = "/var/lib/feeds/drop.txt"
            action = "deny"
            [[list]]
            name = "home"
            path = "/var/lib/feeds/\"country\".mmdb"
            format = "mmdb"
            action = "allow"
            countries = ["NZ", "AU"]
            asns = [64500, 4294967295]
            [[signature]]
            name = "monlist"
            length = 468
            payload_length = "0..440"
            ttl = "240..255"
            source_ports = [123, "1024-2047"]
            payload = { offset = 1, bytes = "17 00 032A", mask = "ff 00 ff ff" }
            [[signature]]
            name = "syn"
            observe = true
            tcp_flags = "syn, !ack"
            tcp_window = 1024
            tcp_options = "mss,sack,ts,nop,wscale,30"
            payload = { from = "end", text = "\"\u0000é" }
            [[signature]]
            name = "bare"
            tcp_options = "none"
            payload = { from = "header", offset = 13, bytes = "02" }
            [[signature]]
            name = "echo"
            icmp = 8
            [[signature]]
            name = "too-big"
            icmpv6 = "2/0"
            [default]
            closed = true
            signatures = ["too-big", "echo"]
            [[class]]
            name = "web"
            signatures = ["syn"]
            protocol = "tcp"
            ports = [80, "8000-8010"]
            syn_cookies = { above = "90k/m", hold = "1m 30s" }
            per_source = { packets = "30/m", bytes = "80Mbit/s", connections = { rate = "1/d", burst = 100 } }
            total = { bytes = { rate = "10MiB/h", burst = "2GB" } }
            [[class]]
            name = "ssh"
            protocol = "tcp"
            ports = [22]
            syn_cookies = "always"
            [[class]]
            name = "gre"
            protocol = 47
            [[class]]
            name = "ping"
            protocol = "icmp"
            [[class]]
            name = "udp"
            protocol = "udp"
        "#;
        for text in [text, DEFAULT] {
            let config = parse("test", text).unwrap();
            let rendered = render(&config);
            assert_eq!(parse("rendered", &rendered).unwrap(), config, "{rendered}");
        }
    }
}
