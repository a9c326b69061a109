//! Lists of payloads: which file holds which class.

use std::path::Path;

use anyhow::Result;

use super::{filter, lines, push};
use crate::case::{Case, Label};

/// Set, class and file. Left out are lists of names (event handlers, attributes, commands), of formats and numbers, of request headers, and
/// what mixes classes.
const LISTS: &[(&str, &str, &str)] = &[
    ("fuzzdb", "sqli", "sql-injection/detect/GenericBlind.txt"),
    ("fuzzdb", "sqli", "sql-injection/detect/MSSQL.txt"),
    ("fuzzdb", "sqli", "sql-injection/detect/MSSQL_blind.txt"),
    ("fuzzdb", "sqli", "sql-injection/detect/MySQL.txt"),
    ("fuzzdb", "sqli", "sql-injection/detect/MySQL_MSSQL.txt"),
    ("fuzzdb", "sqli", "sql-injection/detect/oracle.txt"),
    ("fuzzdb", "sqli", "sql-injection/detect/xplatform.txt"),
    ("fuzzdb", "sqli", "sql-injection/exploit/db2-enumeration.txt"),
    ("fuzzdb", "sqli", "sql-injection/exploit/ms-sql-enumeration.txt"),
    ("fuzzdb", "sqli", "sql-injection/exploit/mysql-injection-login-bypass.txt"),
    ("fuzzdb", "sqli", "sql-injection/exploit/mysql-read-local-files.txt"),
    ("fuzzdb", "sqli", "sql-injection/exploit/postgres-enumeration.txt"),
    ("fuzzdb", "sqli", "sql-injection/payloads-sql-blind/payloads-sql-blind-MSSQL-INSERT.txt"),
    ("fuzzdb", "sqli", "sql-injection/payloads-sql-blind/payloads-sql-blind-MSSQL-WHERE.txt"),
    ("fuzzdb", "sqli", "sql-injection/payloads-sql-blind/payloads-sql-blind-MySQL-INSERT.txt"),
    ("fuzzdb", "sqli", "sql-injection/payloads-sql-blind/payloads-sql-blind-MySQL-ORDER_BY.txt"),
    ("fuzzdb", "sqli", "sql-injection/payloads-sql-blind/payloads-sql-blind-MySQL-WHERE.txt"),
    ("fuzzdb", "xss", "xss/XSSPolyglot.txt"),
    ("fuzzdb", "xss", "xss/xss-other.txt"),
    ("fuzzdb", "xss", "xss/xss-rsnake.txt"),
    ("fuzzdb", "xss", "xss/xss-uri.txt"),
    ("fuzzdb", "xss", "html_js_fuzz/HTML5sec_Injections.txt"),
    ("fuzzdb", "traversal", "path-traversal/path-traversal-windows.txt"),
    ("fuzzdb", "traversal", "path-traversal/traversals-8-deep-exotic-encoding.txt"),
    ("fuzzdb", "file", "lfi/common-unix-httpd-log-locations.txt"),
    ("fuzzdb", "file", "lfi/common-ms-httpd-log-locations.txt"),
    ("fuzzdb", "cmdi", "os-cmd-execution/command-execution-unix.txt"),
    ("fuzzdb", "cmdi", "os-cmd-execution/command-injection-template.txt"),
    ("fuzzdb", "cmdi", "os-cmd-execution/OSCommandInject.Windows.txt"),
    ("fuzzdb", "ssi", "server-side-include/server-side-includes-generic.txt"),
    ("fuzzdb", "ldap", "ldap/ldap-injection.txt"),
    ("fuzzdb", "xpath", "xpath/xpath-injection.txt"),
    ("fuzzdb", "xxe", "xml/xml-attacks.txt"),
    ("fuzzdb", "nosql", "no-sql-injection/mongodb.txt"),
    ("fuzzdb", "header", "http-protocol/crlf-injection.txt"),
    ("fuzzdb", "header", "http-protocol/http-header-cache-poison.txt"),
    ("payloads", "sqli", "SQL-Injection/Auth_Bypass.txt"),
    ("payloads", "sqli", "SQL-Injection/Auth_Bypass2.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_MSSQL.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_MSSQL-WHERE_Time.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_MSSQL_Enumeration.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_MYSQL.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_MySQL_ReadLocalFiles.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_MySQL-WHERE_Time.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_Oracle.txt"),
    ("payloads", "sqli", "SQL-Injection/FUZZDB_Postgres_Enumeration.txt"),
    ("payloads", "sqli", "SQL-Injection/Generic_ErrorBased.txt"),
    ("payloads", "sqli", "SQL-Injection/Generic_Fuzz.txt"),
    ("payloads", "sqli", "SQL-Injection/Generic_TimeBased.txt"),
    ("payloads", "sqli", "SQL-Injection/Generic_UnionSelect.txt"),
    ("payloads", "sqli", "SQL-Injection/SQLi_Polyglots.txt"),
    ("payloads", "xss", "XSS-Injection/BRUTELOGIC-XSS-JS.txt"),
    ("payloads", "xss", "XSS-Injection/BRUTELOGIC-XSS-STRINGS.txt"),
    ("payloads", "xss", "XSS-Injection/IntrudersXSS.txt"),
    ("payloads", "xss", "XSS-Injection/JHADDIX_XSS.txt"),
    ("payloads", "xss", "XSS-Injection/MarioXSSVectors.txt"),
    ("payloads", "xss", "XSS-Injection/RSNAKE_XSS.txt"),
    ("payloads", "xss", "XSS-Injection/XSSDetection.txt"),
    ("payloads", "xss", "XSS-Injection/XSS_Polyglots.txt"),
    ("payloads", "xss", "XSS-Injection/jsonp_endpoint.txt"),
    ("payloads", "xss", "XSS-Injection/xss_alert.txt"),
    ("payloads", "xss", "XSS-Injection/xss_payloads_quick.txt"),
    ("payloads", "traversal", "Directory-Traversal/deep_traversal.txt"),
    ("payloads", "traversal", "Directory-Traversal/directory_traversal.txt"),
    ("payloads", "traversal", "Directory-Traversal/dotdotpwn.txt"),
    ("payloads", "traversal", "Directory-Traversal/traversals-8-deep-exotic-encoding.txt"),
    ("payloads", "traversal", "File-Inclusion/Traversal.txt"),
    ("payloads", "traversal", "File-Inclusion/dot-slash-PathTraversal_and_LFI_pairing.txt"),
    ("payloads", "file", "File-Inclusion/LFI-FD-check.txt"),
    ("payloads", "file", "File-Inclusion/LFI-WindowsFileCheck.txt"),
    ("payloads", "file", "File-Inclusion/Linux-files.txt"),
    ("payloads", "file", "File-Inclusion/List_Of_File_To_Include.txt"),
    ("payloads", "file", "File-Inclusion/Windows-files.txt"),
    ("payloads", "cmdi", "Command-Injection/command_exec.txt"),
    ("payloads", "cmdi", "Command-Injection/command-execution-unix.txt"),
    ("payloads", "ldap", "LDAP-Injection/LDAP_FUZZ.txt"),
    ("payloads", "nosql", "NoSQL-Injection/NoSQL.txt"),
    ("payloads", "nosql", "NoSQL-Injection/MongoDB.txt"),
    ("payloads", "xxe", "XXE-Injection/XXE_Fuzzing.txt"),
    ("payloads", "xxe", "XXE-Injection/xml-attacks.txt"),
    ("payloads", "redirect", "Open-Redirect/Open-Redirect-payloads.txt"),
    ("payloads", "redirect", "Open-Redirect/openredirects.txt"),
];

/// What lists have in place of what an attacker would fill in.
const PLACEHOLDERS: [(&str, &str); 11] = [
    ("{FILE}", "etc/passwd"),
    ("__TIME__", "5"),
    ("{cmd}", "id"),
    ("<filepath>", "/etc/passwd"),
    ("<username>", "admin"),
    ("{SITE}", "www."),
    // html5sec.org's places for bytes that readers drop.
    ("[a]", "\n"),
    ("[b]", "\n"),
    ("[c]", "\n"),
    ("[d]", "\n"),
    ("[e]", "\n"),
];

/// Lists whose payloads go over several lines, and what each payload begins with.
const PAGES: [(&str, &str); 1] = [("XSS-Injection/MarioXSSVectors.txt", "<div id=\"")];

/// Where the folder of a set is, in the data.
fn folder(set: &str) -> &str {
    if set == "payloads" { "payloads-all-the-things" } else { set }
}

pub(super) fn read(data: &Path, cases: &mut Vec<Case>) -> Result<()> {
    for (set, class, file) in LISTS {
        let lines = lines(&data.join(folder(set)).join(file))?;
        let payloads = match PAGES.iter().find(|(name, _)| name == file) {
            Some((_, start)) => joined(&lines, start),
            None => lines,
        };
        let values = payloads.into_iter().filter(|line| filter::keep(class, line)).map(|mut line| {
            for (placeholder, text) in PLACEHOLDERS {
                line = line.replace(placeholder, text);
            }
            line
        });
        push(cases, set, class, Label::Attack, values);
    }
    Ok(())
}

/// Lines put together, from one that begins with `start` up to the next one that does.
fn joined(lines: &[String], start: &str) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for line in lines {
        match payloads.last_mut() {
            Some(last) if !line.starts_with(start) => {
                last.push('\n');
                last.push_str(line);
            }
            _ => payloads.push(line.clone()),
        }
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_payload_are_put_together() {
        let lines = ["<i 1>", "a", "", "<i 2>", "<i 3>", "b"].map(str::to_owned);
        assert_eq!(joined(&lines, "<i"), ["<i 1>\na\n", "<i 2>", "<i 3>\nb"]);
    }
}
