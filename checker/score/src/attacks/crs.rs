//! The regression cases of the OWASP Core Rule Set: requests as they go over the wire, each of which one rule must refuse.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use yaml_rust2::{Yaml, YamlLoader};

use super::{LONGEST, filter, names};
use crate::{
    case::{Case, Label, Split},
    encode,
};

/// The rules for injections whose cases count: those that CRS has at paranoia level 1, and of the others those for SSRF, templates, scripts,
/// look-ups and deserialisation. The rest refuses single words and characters, and says so.
const COUNTED: &[u32] = &[
    921120, 921130, 921140, 921150, 921160, 921190, 921200, 930100, 930110, 930120, 930130, 931100, 931110,
    931120, 932120, 932125, 932130, 932140, 932160, 932170, 932171, 932175, 932230, 932235, 932250, 932260,
    932270, 932280, 932330, 932340, 932370, 932380, 933100, 933110, 933120, 933130, 933140, 933150, 933160,
    933170, 933180, 933200, 934100, 934101, 934110, 934120, 934130, 934140, 934150, 934160, 934170, 934180,
    941100, 941110, 941130, 941140, 941160, 941170, 941180, 941190, 941200, 941210, 941220, 941230, 941240,
    941250, 941260, 941270, 941280, 941290, 941300, 941310, 941350, 941360, 941370, 941390, 941400, 942100,
    942140, 942151, 942160, 942170, 942190, 942220, 942230, 942240, 942250, 942270, 942280, 942290, 942320,
    942350, 942360, 942500, 942540, 942550, 942560, 944100, 944110, 944120, 944130, 944140, 944150, 944151,
    944152, 944200, 944210, 944240, 944260,
];

/// Classes of which a case counts if [`filter::keep`] keeps one of its values. SQL, script and paths: all of the counted rules' cases.
const FILTERED: [&str; 9] =
    ["cmdi", "nosql", "template", "ldap", "header", "ssrf", "deserialisation", "lookup", "prototype"];
/// Headers that every request has, whose values have separators of their own.
const ORDINARY: [&str; 6] =
    ["accept", "connection", "content-length", "content-type", "host", "accept-charset"];

/// The class of what a rule is for. `None`: answers, and requests that carry no attack.
fn class(rule: u32) -> Option<&'static str> {
    Some(match rule {
        921200 => "ldap",
        921110..=921160 | 921190 | 932300..=932321 => "header",
        930100 | 930110 => "traversal",
        930000..=930999 => "file",
        931000..=931999 => "rfi",
        932000..=932999 => "cmdi",
        933170 | 944200..=944240 | 944300 => "deserialisation",
        933000..=933999 => "php",
        934110 | 934120 | 934170 | 934190 => "ssrf",
        934130 => "prototype",
        934180 | 941380 | 934200 => "template",
        934210 | 934220 => "orm",
        934000..=934999 => "script",
        941000..=941999 => "xss",
        942290 => "nosql",
        942000..=942999 => "sqli",
        943000..=943999 => "session-fixation",
        944150..=944152 => "lookup",
        944100..=944299 => "java",
        911000..=922999 => "protocol",
        _ => return None,
    })
}

/// Reads the positive cases: whole requests as the set `crs`, and the values in those that have but one as `crs-values`; what is not
/// [`COUNTED`] as `crs-strict` and `crs-strict-values`.
pub(super) fn read(data: &Path, cases: &mut Vec<Case>) -> Result<()> {
    let root = data.join("crs-regression");
    for folder in names(&root)? {
        let directory = root.join(&folder);
        if !directory.is_dir() {
            continue;
        }
        for name in names(&directory)? {
            let Some(rule) = name.strip_suffix(".yaml").and_then(|rule| rule.parse().ok()) else { continue };
            let Some(class) = class(rule) else { continue };
            let file = directory.join(&name);
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let yaml = YamlLoader::load_from_str(&text)
                .with_context(|| format!("cannot parse {}", file.display()))?;
            let counted = COUNTED.contains(&rule) || class == "protocol";
            for document in &yaml {
                document_cases(document, if counted { "crs" } else { "crs-strict" }, class, cases);
            }
        }
    }
    Ok(())
}

fn document_cases(document: &Yaml, set: &str, class: &str, cases: &mut Vec<Case>) {
    for test in document["tests"].as_vec().into_iter().flatten() {
        for stage in test["stages"].as_vec().into_iter().flatten() {
            let log = &stage["output"]["log"];
            if log["expect_ids"].is_badvalue() && log["match_regex"].is_badvalue() {
                continue;
            }
            let input = &stage["input"];
            let request = request(input);
            let value = only_value(input).filter(|value| (1..=LONGEST).contains(&value.len()));
            // Half of the cases show that a rule knows one name (`is_array()`, `test`): whether a value can be an attack of its class, the
            // same filter says as of the lists. A whole request counts where one of its values does.
            let counts = match FILTERED.contains(&class) {
                false => true,
                true => values(input).iter().any(|value| filter::keep(class, value)),
            };
            let set = if counts { set } else { "crs-strict" };
            cases.push(Case::raw(set, class, Label::Attack, Split::of(&request), &request));
            if let Some(value) = value {
                let split = Split::of(value.as_bytes());
                cases.push(Case::value(&format!("{set}-values"), class, Label::Attack, split, value));
            }
        }
    }
}

fn text(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The request of an input, as CRS's own runner sends it: a form that is not encoded is encoded, and length and Connection are added.
fn request(input: &Yaml) -> Vec<u8> {
    let whole = text(&input["encoded_request"]).map(|text| text.split_whitespace().collect::<String>());
    if let Some(request) = whole.and_then(|text| STANDARD.decode(text).ok()) {
        return request;
    }
    let get = |name: &str, otherwise: &str| text(&input[name]).unwrap_or_else(|| otherwise.to_owned());
    let mut head = format!("{} {} {}\r\n", get("method", "GET"), get("uri", "/"), get("version", "HTTP/1.1"));
    let mut body = text(&input["data"]).unwrap_or_default();
    let mut names = Vec::new();
    let mut form = false;
    for (name, value) in input["headers"].as_hash().into_iter().flatten() {
        let (name, value) = (text(name).unwrap_or_default(), text(value).unwrap_or_default());
        head += &format!("{name}: {value}\r\n");
        names.push(name.to_ascii_lowercase());
        form |= name.eq_ignore_ascii_case("content-type") && value.contains("x-www-form-urlencoded");
    }
    let lacks = |name: &str| !names.iter().any(|known| known == name);
    let complete = input["autocomplete_headers"].as_bool().unwrap_or(true);
    if complete && !body.is_empty() && lacks("content-type") {
        head += "Content-Type: application/x-www-form-urlencoded\r\n";
        form = true;
    }
    if form {
        body = encode::form(&body);
    }
    if complete && lacks("connection") {
        head += "Connection: close\r\n";
    }
    if complete && !body.is_empty() && lacks("content-length") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// Every value of an input that can be one: of parameters, decoded, the path, the body and headers.
fn values(input: &Yaml) -> Vec<String> {
    let uri = text(&input["uri"]).unwrap_or_default();
    let data = text(&input["data"]).unwrap_or_default();
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let mut values = vec![path.to_owned()];
    for pair in query.split('&').chain(data.split('&')) {
        let value = pair.split_once('=').map_or(pair, |(_, value)| value);
        values.push(encode::url_decode(value).unwrap_or_else(|| value.to_owned()));
        values.push(encode::url_decode(pair).unwrap_or_else(|| pair.to_owned()));
    }
    for (name, value) in input["headers"].as_hash().into_iter().flatten() {
        let name = text(name).unwrap_or_default().to_ascii_lowercase();
        if !ORDINARY.contains(&name.as_str()) {
            values.extend(text(value));
        }
    }
    if !text(&input["encoded_request"]).unwrap_or_default().is_empty() {
        values.push(String::from_utf8_lossy(&request(input)).into_owned());
    }
    values
}

/// The decoded value of the only parameter that a request has, in its query or its form.
fn only_value(input: &Yaml) -> Option<String> {
    let uri = text(&input["uri"]).unwrap_or_default();
    let query = uri.split_once('?').map(|(_, query)| query.to_owned());
    let data = text(&input["data"]).filter(|data| !data.trim_start().starts_with(['{', '<', '[', '-']));
    let ((Some(parameters), None) | (None, Some(parameters))) = (query, data) else { return None };
    let (name, value) = parameters.trim_end().split_once('=')?;
    if value.contains('&')
        || name.is_empty()
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return None;
    }
    encode::url_decode(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str = r#"
rule_id: 942100
tests:
  - test_id: 1
    stages:
      - input:
          headers:
            Host: localhost
          method: POST
          uri: "/post"
          data: "var=1 OR 1=1"
        output:
          log:
            expect_ids: [942100]
  - test_id: 2
    stages:
      - input:
          uri: "/get?a=b&c=d"
        output:
          log:
            no_expect_ids: [942100]
"#;

    #[test]
    fn a_positive_case_is_a_whole_request_and_a_value() {
        let mut cases = Vec::new();
        document_cases(&YamlLoader::load_from_str(CASES).unwrap()[0], "crs", "sqli", &mut cases);
        assert_eq!(cases.len(), 2, "the negative case is none");
        let request = String::from_utf8(cases[0].request().unwrap()).unwrap();
        let expected = "POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Connection: close\r\nContent-Length: 14\r\n\r\nvar=1+OR+1%3D1";
        assert_eq!(request, expected);
        assert_eq!((cases[1].set.as_str(), cases[1].value.as_deref()), ("crs-values", Some("1 OR 1=1")));
    }

    #[test]
    fn rules_have_the_class_of_what_they_are_for() {
        assert_eq!(
            [942100, 941100, 932230, 930100, 944150].map(class),
            ["sqli", "xss", "cmdi", "traversal", "lookup"].map(Some)
        );
        assert_eq!(class(951100), None, "what is said of an answer is said of no request");
    }
}
