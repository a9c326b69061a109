//! What is said in another way than the policy has it, so that what counts misses it and the server behind does not.

use super::*;
use crate::{
    Reason,
    state::{NoFiles, Seed, State},
};

fn world(text: &str) -> (Policy, State) {
    let policy = Policy::parse("policy", text).unwrap_or_else(|errors| panic!("{errors}"));
    let state = State::new(&policy, &Seed::new(&[1; 32]), None, &mut NoFiles, 0).unwrap();
    (policy, state)
}

fn ask((policy, state): &(Policy, State), head: &str, body: &str) -> Verdict {
    let time = Some(Time { monotonic: Duration::from_secs(9), wall: Duration::from_secs(9) });
    let client = Some("192.0.2.1".parse().unwrap());
    let context = Context { time, state: Some(state), client, ..Context::default() };
    let bytes = format!("{head}\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    check_bytes(bytes.as_bytes(), &context, policy)
}

const BRAKE: &str = "\
undeclared = \"allow\"
checks = { form = \"off\", json = \"off\" }

[[brake]]
name = \"login\"
routes = [\"/login\"]
account = [\"form:user_name\", \"json:/login/name\", \"basic\"]
credential = [\"form:password\"]
free = 0

[[route]]
path = \"/login\"
methods = [\"POST\"]
";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const JSON: &str = "Content-Type: application/json";

#[test]
fn a_login_is_braked_however_its_account_is_called() {
    let line = "POST /login HTTP/1.1";
    for (head, body) in [
        (format!("{line}\r\n{FORM}"), "user_name=bob"),
        // ASP.NET; PHP.
        (format!("{line}\r\n{FORM}"), "User_Name=bob"),
        (format!("{line}\r\n{FORM}"), "user.name=bob"),
        (format!("{line}\r\n{FORM}"), "+user%20name=bob"),
        (format!("{line}\r\n{FORM}"), "user_name%00=bob"),
        // Servlets have one set of parameters for the query and the form.
        ("POST /login?user_name=bob HTTP/1.1".to_owned(), ""),
        (format!("POST /login?user_name=bob HTTP/1.1\r\n{JSON}"), "{}"),
        // Go, System.Text.Json; a number that is made a text of.
        (format!("{line}\r\n{JSON}"), "{\"Login\":{\"NAME\":\"bob\"}}"),
        (format!("{line}\r\n{JSON}"), "{\"login\":{\"name\":7}}"),
        // Padding that is missing, the other alphabet, a tab.
        (format!("{line}\r\nAuthorization: Basic Ym9iOng="), ""),
        (format!("{line}\r\nAuthorization: Basic Ym9iOng"), ""),
        (format!("{line}\r\nAuthorization: basic\tYm9iOj8_Pw"), ""),
        (format!("{line}\r\nAuthorization: Basic Ym9i!Ong="), ""),
    ] {
        let world = world(BRAKE);
        let reasons = [(); 2].map(|()| ask(&world, &head, body).reason);
        assert_eq!(reasons, [None, Some(Reason::BrakeDelay)], "{head} {body}");
    }
}

#[test]
fn a_login_that_names_two_accounts_or_passwords_is_refused_wherever_they_stand() {
    let basic = format!("POST /login HTTP/1.1\r\n{FORM}\r\nAuthorization: Basic Ym9iOng=");
    for (head, body) in [
        (format!("POST /login HTTP/1.1\r\n{FORM}"), "user_name=a&User_name=bob"),
        (format!("POST /login?user_name=a HTTP/1.1\r\n{FORM}"), "user_name=bob"),
        (format!("POST /login HTTP/1.1\r\n{FORM}"), "user_name=a&password=1&Password=2"),
        (format!("POST /login HTTP/1.1\r\n{JSON}"), "{\"login\":{\"name\":\"a\",\"Name\":\"bob\"}}"),
        (basic.clone(), "user_name=a"),
    ] {
        assert_eq!(ask(&world(BRAKE), &head, body).reason, Some(Reason::BrakeAccount), "{head} {body}");
    }
    assert!(ask(&world(BRAKE), &basic, "user_name=BOB").is_allowed(), "the same one");
}

#[test]
fn objects_are_counted_however_their_id_is_called() {
    for (id, first, second) in [
        ("query:id", ("GET /o?Id=1".to_owned(), ""), ("GET /o?id[]=2".to_owned(), "")),
        (
            "body:/a/id",
            (format!("POST /o|{JSON}"), "{\"A\":{\"ID\":1}}"),
            (format!("POST /o|{JSON}"), "{\"a\":{\"Id\":2}}"),
        ),
    ] {
        let world = world(&format!(
            "checks.injection = \"off\"\n[[enumeration]]\nname = \"o\"\nroutes = [\"/o\"]\nid = \"{id}\"\ndistinct = 1\n\
             [[route]]\npath = \"/o\"\nmethods = \"any\"\n"
        ));
        let ask = |(line, body): (String, &str)| {
            let (line, header) = line.split_once('|').unwrap_or((&line, "Accept: */*"));
            ask(&world, &format!("{line} HTTP/1.1\r\n{header}"), body).reason
        };
        assert_eq!((ask(first), ask(second)), (None, Some(Reason::ObjectCount)), "{id}");
    }
}

const METHODS: &str = "\
undeclared = \"allow\"

[[route]]
path = \"/items/{id}\"
methods = [\"GET\", \"PUT\", \"POST\"]

[[route]]
path = \"/items/{id}\"
methods = [\"DELETE\"]
checks.injection = \"observe\"

[[route]]
path = \"/{rest*}\"
methods = \"any\"
";

#[test]
fn what_some_servers_take_for_the_method_or_the_path_is_of_the_same_route() {
    let world = world(METHODS);
    for head in [
        "POST /items/1 HTTP/1.1\r\nX-HTTP-Method-Override: DELETE",
        "POST /items/1 HTTP/1.1\r\nX-HTTP-Method: delete",
        "GET /items/1 HTTP/1.1\r\nX-Method-Override: PUT\r\nX-Method-Override: DELETE",
        "GET /items/1?_method=DELETE HTTP/1.1",
        "GET /items/1?_Method=DELETE HTTP/1.1",
        "GET /other HTTP/1.1\r\nX-Original-URL: /items/1",
        "GET /other HTTP/1.1\r\nX-Rewrite-URL: /other?a=b",
    ] {
        assert_eq!(ask(&world, head, "").reason, Some(Reason::Override), "{head}");
    }
    for head in [
        "POST /items/1 HTTP/1.1\r\nX-HTTP-Method-Override: PUT",
        "POST /other HTTP/1.1\r\nX-HTTP-Method-Override: DELETE",
        "GET /items/1?_method=put HTTP/1.1",
        "GET /items/1?_method= HTTP/1.1",
        "GET /other?a HTTP/1.1\r\nX-Original-URL: /other?a",
    ] {
        assert_eq!(ask(&world, head, "").reason, None, "{head}");
    }
    let form = format!("POST /items/1 HTTP/1.1\r\n{FORM}");
    assert_eq!(ask(&world, &form, "a=b&_method=DELETE").reason, Some(Reason::Override));
    assert_eq!(ask(&world, &form, "a=b&_method=PUT").reason, None);
    let parts = "POST /items/1 HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b";
    let part = |method: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\n{method}\r\n--b--\r\n")
    };
    assert_eq!(ask(&world, parts, &part("DELETE")).reason, Some(Reason::Override));
    assert_eq!(ask(&world, parts, &part("PUT")).reason, None);
}
