//! Every format, good and bad.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn list(format: Format, countries: &[&str], asns: &[u32]) -> ListFile {
    ListFile {
        name: "test".to_owned(),
        path: PathBuf::from("/nowhere"),
        format,
        action: ListAction::Deny,
        countries: countries.iter().map(|&code| code.to_owned()).collect(),
        asns: asns.to_vec(),
    }
}

fn wanted(countries: &[&str], asns: &[u32]) -> Wanted {
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    Wanted::by(&list(Format::Auto, countries, asns), written, written + Duration::from_secs(60))
}

fn prefixes(parsed: &Parsed) -> Vec<String> {
    let v4 = parsed.set.v4().iter().map(|one| format!("{}/{}", one.address.ip(), one.bits));
    v4.chain(parsed.set.v6().iter().map(|one| format!("{}/{}", one.address.ip(), one.bits))).collect()
}

/// The format that is found, and what the file says.
fn good(text: &str, format: Format, expected: &[&str]) -> Parsed {
    let chooses = format.chooses();
    let wanted = if chooses { wanted(&["NZ"], &[64_500]) } else { wanted(&[], &[]) };
    let (parsed, found) = parse(text.as_bytes(), Format::Auto, &wanted).unwrap();
    assert_eq!(found, format, "{text}");
    assert_eq!(prefixes(&parsed), expected, "{text}");
    assert_eq!(parse(text.as_bytes(), format, &wanted).unwrap().0, parsed);
    parsed
}

fn error(text: &str, format: Format) -> String {
    let wanted = if format.chooses() { wanted(&["NZ"], &[]) } else { wanted(&[], &[]) };
    parse(text.as_bytes(), format, &wanted).unwrap_err().to_string()
}

#[test]
fn plain_lists_and_their_comments() {
    good(
        "\u{feff}# FireHOL\r\n#\n192.0.2.0/24\r\n198.51.100.7\n\n2001:db8::/32\n192.0.2.0/24\n",
        Format::Plain,
        &["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"],
    );
    good(
        "; Spamhaus DROP\n192.0.2.0/24 ; SBL1\n203.0.113.0/25;SBL2",
        Format::Plain,
        &["192.0.2.0/24", "203.0.113.0/25"],
    );
    good("", Format::Plain, &[]);
    good("# bogons\n::/8\n224.0.0.0/3", Format::Plain, &["224.0.0.0/3", "::/8"]);
}

#[test]
fn a_plain_list_with_one_bad_line_names_it() {
    assert!(error("192.0.2.1\n\n<html>\n", Format::Plain).starts_with("line 3: `<html>` is neither"));
    assert!(error("192.0.2.1/24", Format::Plain).starts_with("line 1: "));
    assert!(error("0.0.0.0/0", Format::Plain).contains("most of the internet"));
    assert!(error("::/0", Format::Plain).contains("most of the internet"));
    assert!(error(&"1".repeat(5_000), Format::Plain).contains("longer than 4096 bytes"));
    let not_text = parse(b"192.0.2.1\n\xff\xfe\n", Format::Auto, &wanted(&[], &[])).unwrap_err();
    assert_eq!(not_text, FeedError::at(2, "it is not UTF-8"));
}

#[test]
fn spamhaus_json_says_how_many_records_it_has() {
    let text = "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\",\"rir\":\"x\"}\n{\"cidr\":\"2001:db8::/32\",\"sblid\":\"SBL2\"}\n";
    good(text, Format::SpamhausJson, &["192.0.2.0/24", "2001:db8::/32"]);
    let whole = format!("{text}{{\"type\":\"metadata\",\"timestamp\":1,\"size\":1,\"records\":2}}\n");
    good(&whole, Format::SpamhausJson, &["192.0.2.0/24", "2001:db8::/32"]);
    let cut = whole.replace("\"records\":2", "\"records\":900");
    assert!(error(&cut, Format::SpamhausJson).starts_with("line 3: the file says that it has 900 records"));
    assert!(error("{\"cidr\":\"192.0.2.0/24\"}\n{\"cid", Format::SpamhausJson).starts_with("line 2: "));
    assert!(error("{}", Format::SpamhausJson).contains("no `cidr`"));
}

#[test]
fn crowdsec_bans_count_from_when_the_file_was_written() {
    let flat = r#"[{"duration":"3h59m10.5s","origin":"cscli","scenario":"x","scope":"Ip","type":"ban","value":"192.0.2.7"},
        {"duration":"-5s","scope":"Ip","type":"ban","value":"192.0.2.8"},
        {"duration":"30s","scope":"Ip","type":"ban","value":"192.0.2.9"},
        {"duration":"2m","scope":"Range","type":"ban","value":"2001:db8::/48"},
        {"duration":"2h","scope":"Ip","type":"captcha","value":"192.0.2.10"},
        {"duration":"2h","scope":"Country","type":"ban","value":"XX"}]"#;
    let parsed = good(flat, Format::CrowdsecJson, &["192.0.2.7/32", "2001:db8::/48"]);
    assert_eq!(parsed.skipped, 4);
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    assert_eq!(parsed.expires, Some(written + Duration::from_secs(120)));
    let alerts =
        r#"[{"id":1,"decisions":[{"duration":"4h","scope":"Ip","type":"ban","value":"192.0.2.7"}]}]"#;
    good(alerts, Format::CrowdsecJson, &["192.0.2.7/32"]);
    good("null", Format::CrowdsecJson, &[]);
    good("[]", Format::CrowdsecJson, &[]);
    assert!(error("[{\"value\":\"192.0.2.7\"},\n{\"value\":", Format::CrowdsecJson).starts_with("line 2: "));
    assert!(error(r#"[{"value":"x","type":"ban"}]"#, Format::CrowdsecJson).contains("neither an IP address"));
    assert!(
        error(r#"[{"value":"192.0.2.1","duration":"soon"}]"#, Format::CrowdsecJson).contains("no duration")
    );
}

#[test]
fn crowdsec_tables_have_a_header() {
    let text = "id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id\n\
        1,crowdsec,Ip:192.0.2.7,\"a, \"\"b\"\"\",ban,NZ,64500 X,6,3h59m,false,2\n\
        2,crowdsec,Range:198.51.100.0/24,x,ban,,,0,3h,false,3\n\
        3,crowdsec,Country:XX,x,ban,,,0,3h,false,3\n";
    good(text, Format::CrowdsecCsv, &["192.0.2.7/32", "198.51.100.0/24"]);
    good("duration,value,scope\n4h,2001:db8::1,ip\n", Format::CrowdsecCsv, &["2001:db8::1/128"]);
    assert!(error("a,b,c\n1,2,3", Format::CrowdsecCsv).starts_with("line 1: "));
    assert!(error("ip,b,c\n\"1,2,3", Format::CrowdsecCsv).starts_with("line 2: "));
}

#[test]
fn ranges_of_iptoasn_become_the_fewest_prefixes() {
    let text = "1.0.0.0\t1.0.0.255\t13335\tUS\tX\n192.0.2.0\t192.0.3.127\t64499\tNZ\tA\n\
        198.51.100.0\t198.51.100.255\t64500\tAU\tB\n2001:db8::\t2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\t1\tNZ\tC\n";
    let expected = ["192.0.2.0/24", "192.0.3.0/25", "198.51.100.0/24", "2001:db8::/32"];
    assert_eq!(good(text, Format::IpToAsn, &expected).skipped, 1);
    good("3221225984\t3221226239\t64500\tAU\tB\n", Format::IpToAsn, &["192.0.2.0/24"]);
    good("::ffff:192.0.2.0\t::ffff:192.0.2.255\t64500\tAU\tB\n", Format::IpToAsn, &["192.0.2.0/24"]);
    assert!(error("1.0.0.9\t1.0.0.1\t1\tNZ\tX", Format::IpToAsn).contains("no range"));
    assert!(error("1.0.0.9\t1.0.0.1", Format::IpToAsn).contains("fewer than four"));
    let none = parse(text.as_bytes(), Format::Auto, &wanted(&[], &[])).unwrap_err().to_string();
    assert!(none.contains("needs `countries` or `asns`"), "{none}");
    assert!(parse(b"192.0.2.1", Format::Auto, &wanted(&["NZ"], &[])).is_err());
}

/// A small database: a chain of nodes for each network, all of them IPv6 addresses (IPv4 below ::/96).
fn database(networks: &[(&str, Vec<u8>)], record_bits: usize) -> Vec<u8> {
    let mut nodes: Vec<[Option<Result<usize, usize>>; 2]> = vec![[None; 2]];
    let mut data = Vec::new();
    for (prefix, value) in networks {
        let (address, bits) = match prefix.parse().unwrap() {
            IpNet::V4(v4) => (u128::from(u32::from(v4.network())), 96 + v4.prefix_len()),
            IpNet::V6(v6) => (u128::from(v6.network()), v6.prefix_len()),
        };
        let mut node = 0;
        for depth in 0..bits {
            let side = (address >> (127 - depth) & 1) as usize;
            if depth + 1 == bits {
                nodes[node][side] = Some(Err(data.len()));
            } else if let Some(Ok(next)) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([None; 2]);
                nodes[node][side] = Some(Ok(nodes.len() - 1));
                node = nodes.len() - 1;
            }
        }
        data.extend_from_slice(value);
    }
    let number = |record: Option<Result<usize, usize>>| match record {
        None => nodes.len(),
        Some(Ok(node)) => node,
        Some(Err(offset)) => nodes.len() + 16 + offset,
    } as u32;
    let mut out = Vec::new();
    for [left, right] in nodes.iter().map(|node| node.map(number)) {
        let (l, r) = (left.to_be_bytes(), right.to_be_bytes());
        match record_bits {
            24 => out.extend([&l[1..], &r[1..]].concat()),
            28 => out.extend([&l[1..], &[l[0] << 4 | r[0]], &r[1..]].concat()),
            _ => out.extend([l, r].concat()),
        }
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let count = (nodes.len() as u32).to_be_bytes();
    let mut metadata = vec![0xe3];
    metadata.extend([text("node_count"), [&[0xc4][..], &count].concat()].concat());
    metadata.extend([text("record_size"), vec![0xa1, record_bits as u8]].concat());
    metadata.extend([text("ip_version"), vec![0xa1, 6]].concat());
    out.extend(metadata);
    out
}

fn text(text: &str) -> Vec<u8> {
    [&[0x40 | text.len() as u8][..], text.as_bytes()].concat()
}

fn country(code: &str) -> Vec<u8> {
    // {"continent": {"names": [true, "x"]}, "country": {"iso_code": code}}
    let continent = [vec![0xe1], text("names"), vec![0x02, 0x04, 0x01, 0x07], text("x")].concat();
    let country = [vec![0xe1], text("iso_code"), text(code)].concat();
    [vec![0xe2], text("continent"), continent, text("country"), country].concat()
}

fn asn(number: u32) -> Vec<u8> {
    [vec![0xe1], text("autonomous_system_number"), vec![0xc4], number.to_be_bytes().to_vec()].concat()
}

#[test]
fn databases_of_countries_and_systems() {
    for record_bits in [24, 28, 32] {
        let bytes = database(
            &[
                ("192.0.2.0/24", country("NZ")),
                ("198.51.100.0/25", country("AU")),
                ("2001:db8::/32", country("NZ")),
                ("203.0.113.8/29", asn(64_500)),
                ("203.0.113.16/28", asn(64_501)),
            ],
            record_bits,
        );
        let (parsed, format) = parse(&bytes, Format::Auto, &wanted(&["NZ"], &[64_500])).unwrap();
        assert_eq!(format, Format::Mmdb);
        assert_eq!(prefixes(&parsed), ["192.0.2.0/24", "203.0.113.8/29", "2001:db8::/32"]);
        assert_eq!(parsed.skipped, 2);
    }
}

#[test]
fn a_database_that_is_cut_or_damaged_never_panics() {
    let whole = database(&[("192.0.2.0/24", country("NZ")), ("2001:db8::/32", asn(1))], 28);
    let wanted = wanted(&["NZ"], &[1]);
    for length in 0..whole.len() {
        let _ = parse(&whole[..length], Format::Mmdb, &wanted);
    }
    for at in 0..whole.len() {
        for bits in [0xff, 0x01, 0x20, 0xe0] {
            let mut damaged = whole.clone();
            damaged[at] ^= bits;
            let _ = parse(&damaged, Format::Mmdb, &wanted);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), format in 0..7_usize) {
        let format = Format::NAMES[format].1;
        for wanted in [wanted(&[], &[]), wanted(&["NZ"], &[1])] {
            let _ = parse(&bytes, format, &wanted);
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "[0-9a-f.:/\t\n,;#\"{}\\[\\]hmsd-]{0,200}", format in 0..6_usize) {
        let format = Format::NAMES[format].1;
        for wanted in [wanted(&[], &[]), wanted(&["NZ"], &[1])] {
            let _ = parse(text.as_bytes(), format, &wanted);
        }
    }

    #[test]
    fn what_is_written_is_read(addresses in prop::collection::btree_set(any::<u32>(), 0..50), bits in 3..=32_u8) {
        let nets: std::collections::BTreeSet<IpNet> = addresses
            .iter()
            .map(|address| IpNet::new_assert(std::net::IpAddr::V4((*address).into()), bits).trunc())
            .collect();
        let text: String = nets.iter().map(|net| format!("{net}\n")).collect();
        let (parsed, _) = parse(text.as_bytes(), Format::Auto, &wanted(&[], &[])).unwrap();
        prop_assert_eq!(prefixes(&parsed), nets.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_that_goes_bad_keeps_what_it_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let configured = [ListFile { path: path.clone(), ..list(Format::Auto, &[], &[]) }];
    let copies = Copies::below(directory.path());
    let now = SystemTime::now();
    let missing = Files::read(&configured, &Files::default(), &copies, now);
    assert!(missing.merged().is_empty() && missing.iter().all(|one| one.error.is_some()));

    std::fs::write(&path, "192.0.2.1\n").unwrap();
    assert!(missing.reread(&[None], now).is_none(), "what has only just changed waits");
    let good = missing.reread(&missing.stamps(), now).unwrap();
    assert_eq!(good.merged().len(), 1);
    assert!(good.iter().all(|one| one.error.is_none() && one.read.is_some()));
    assert!(good.reread(&good.stamps(), now).is_none(), "nothing has changed");

    std::fs::write(directory.path().join("new"), "192.0.2.1\nnonsense\n").unwrap();
    std::fs::rename(directory.path().join("new"), &path).unwrap();
    let bad = good.reread(&good.stamps(), now).unwrap();
    assert_eq!(bad.merged().len(), 1, "what it said before");
    let error = bad.iter().next().unwrap().error.clone().unwrap();
    assert!(error.contains("list: line 2: `nonsense`"), "{error}");
    assert!(bad.same_prefixes(&good));
    assert!(bad.reread(&bad.stamps(), now).is_none(), "it is not read again until it changes");

    std::fs::remove_file(&path).unwrap();
    let gone = bad.reread(&bad.stamps(), now).unwrap();
    assert_eq!(gone.merged().len(), 1);
    std::fs::write(&path, "192.0.2.1\n192.0.2.2\n").unwrap();
    let mended = Files::read(&configured, &gone, &copies, now);
    assert_eq!(mended.merged().len(), 2);
    assert!(mended.iter().all(|one| one.error.is_none()));
}

#[test]
fn entries_go_when_their_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("decisions.json");
    std::fs::write(&path, r#"[{"value":"192.0.2.1","duration":"1m"},{"value":"192.0.2.2","duration":"1h"}]"#)
        .unwrap();
    let configured = [ListFile { path, ..list(Format::Auto, &[], &[]) }];
    let copies = Copies::below(directory.path());
    let now = SystemTime::now();
    let files = Files::read(&configured, &Files::default(), &copies, now);
    assert_eq!(files.merged().len(), 2);
    assert!(files.reread(&files.stamps(), now + Duration::from_secs(30)).is_none());
    let later = files.reread(&files.stamps(), now + Duration::from_secs(90)).unwrap();
    assert_eq!(later.merged().len(), 1);
}

/// Makes copies of what was not kept yet, and says of how many lists.
fn keep(files: &mut Files, copies: &Copies, now: SystemTime) -> usize {
    let mut unkept = files.unkept(now);
    Files::keep(&mut unkept, copies, now);
    files.note_kept(&unkept);
    unkept.len()
}

#[test]
fn an_agent_that_starts_with_a_bad_file_holds_on_to_what_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let state = directory.path().join("state");
    let copies = Copies::below(&state);
    let configured = [ListFile { path: path.clone(), ..list(Format::Auto, &[], &[]) }];
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let start = |now| Files::read(&configured, &Files::default(), &copies, now);
    std::fs::write(&path, "192.0.2.1\n2001:db8::/32\n").unwrap();
    let mut first = start(now);
    assert_eq!(keep(&mut first, &copies, now), 1);
    assert_eq!(keep(&mut first, &copies, now), 0, "once is enough");

    std::fs::write(&path, "<html>\n").unwrap();
    let later = now + Duration::from_secs(100);
    let mut second = start(later);
    assert!(second.same_prefixes(&first));
    let one = second.iter().next().unwrap();
    assert_eq!((one.read, one.copy_since, one.format), (Some(now), Some(later), Some(Format::Plain)));
    assert!(one.error.as_ref().unwrap().contains("line 1"), "{one:?}");
    assert_eq!(keep(&mut second, &copies, later), 0, "a copy is not copied");
    // A reload changes nothing of that, and the file may be mended, or go.
    let again = Files::read(&configured, &second, &copies, later + Duration::from_secs(1));
    assert_eq!(again.iter().next().unwrap().copy_since, Some(later));
    std::fs::remove_file(&path).unwrap();
    assert!(start(later).same_prefixes(&first), "a file that is missing is as bad");
    std::fs::write(&path, "192.0.2.2\n").unwrap();
    let mended = again.reread(&again.stamps(), later).unwrap();
    assert_eq!((mended.iter().next().unwrap().copy_since, mended.merged().len()), (None, 1));

    // A copy that is damaged leaves an empty list, and says so.
    std::fs::write(&path, "<html>\n").unwrap();
    std::fs::write(copies.path(&configured[0]), "nonsense, and more than a few bytes of it").unwrap();
    let third = start(later);
    let error = third.iter().next().unwrap().error.clone().unwrap();
    assert!(third.merged().is_empty() && error.contains("line 1"), "{error}");
    assert!(error.contains("its kept copy is damaged") && error.contains("test.copy.damaged"), "{error}");
}

#[test]
fn a_copy_that_cannot_be_written_is_told_and_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let state = directory.path().join("state");
    let copies = Copies::below(&state);
    let configured = [ListFile { path: path.clone(), ..list(Format::Auto, &[], &[]) }];
    let now = SystemTime::now();
    std::fs::write(&path, "192.0.2.1\n").unwrap();
    std::fs::write(&state, "no directory").unwrap();
    let mut files = Files::read(&configured, &Files::default(), &copies, now);
    assert_eq!(keep(&mut files, &copies, now), 1);
    let error = |files: &Files| files.iter().next().unwrap().copy_error.clone();
    assert!(error(&files).unwrap().contains("test.copy"), "{:?}", error(&files));
    assert_eq!(keep(&mut files, &copies, now + Duration::from_secs(1)), 0);
    std::fs::remove_file(&state).unwrap();
    assert_eq!(keep(&mut files, &copies, now + Duration::from_secs(61)), 1);
    assert_eq!(error(&files), None);
}
