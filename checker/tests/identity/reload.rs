//! What a reload reads again, and what it forgets.

use std::time::Duration;

use stopbank_checker::{
    Policy, Reason, State,
    engine::{self, Context},
    keys::{Entry, Hasher, Keys, RANDOM, generate, parse},
    rates::Time,
    state::Seed,
};

use crate::{
    sign::{NOW, random},
    work::ASKED,
    world::{Memory, PROVERS, World},
};

#[test]
fn secrets_are_read_again_at_a_reload() {
    let world = World::of(ASKED);
    let mut files = world.files.lock().unwrap();
    let secret = |state: &State| {
        let ask = |text: &str| {
            format!("GET /7 HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {text}\r\n\r\n")
        };
        let time = Time { monotonic: Duration::from_secs(NOW), wall: Duration::from_secs(NOW) };
        let context = Context { time: Some(time), state: Some(state), secure: true, ..Context::default() };
        let _ = engine::check_bytes(ask("opaque").as_bytes(), &context, &world.policy);
        let work = state.take_work().pop().unwrap();
        work.ask().unwrap().authorization.unwrap().to_string()
    };
    let before = secret(&world.state);
    let reloaded = |files: &mut Memory| {
        State::new(&world.policy, &Seed::new(&[1; 32]), Some(&world.state), files, NOW).unwrap()
    };
    files.0.insert("asked.secret".to_owned(), b"another".to_vec());
    assert_ne!(secret(&reloaded(&mut files)), before);
    // The list of keys and its secret are made anew, and keys of the old one are no more good.
    let policy = Policy::parse(
        "test",
        &format!("{PROVERS}\n[[route]]\npath = \"/7\"\nmethods = \"any\"\nidentity = [\"key\"]\n"),
    )
    .unwrap();
    let first = State::new(&policy, &Seed::new(&[1; 32]), None, &mut *files, NOW).unwrap();
    let key = generate("sbk", &random(RANDOM).try_into().unwrap()).unwrap().to_string();
    let (mut keys, new) = (Keys::default(), random(32));
    let hash = Hasher::new(&new).unwrap().hash(key.as_bytes());
    let id = parse(key.as_bytes()).unwrap().id.to_owned();
    keys.add(Entry { id, name: "billing".to_owned(), class: None, created: 1, expires: None, hash }).unwrap();
    files.0.insert("keys.toml".to_owned(), keys.to_text().into_bytes());
    files.0.insert("keys.toml.secret".to_owned(), new);
    let second = State::new(&policy, &Seed::new(&[1; 32]), Some(&first), &mut *files, NOW).unwrap();
    let ask = |state: &State, key: &str| {
        let time = Time { monotonic: Duration::from_secs(NOW), wall: Duration::from_secs(NOW) };
        let context = Context { time: Some(time), state: Some(state), ..Context::default() };
        let bytes = format!("GET /7 HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n");
        engine::check_bytes(bytes.as_bytes(), &context, &policy).reason
    };
    assert_eq!(ask(&second, &key), None);
    assert_eq!(ask(&second, &world.key), Some(Reason::KeyRefused));
}
