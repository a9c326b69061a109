//! What a host goes through while its packages come and go: a flood of one source, and a client that asks for pages.

use std::{
    thread,
    time::{Duration, Instant},
};

use stopbank_tests::{
    client::{Client, Working},
    generator::{Flood, Running},
    nginx::Nginx,
    topology::{SERVER, Topology},
};

/// Frames a second of the flood: a gap of a tenth of a millisecond lets two pass.
const PACE: u64 = 20_000;
/// Where it goes; nobody listens there.
pub(crate) const PORT: u16 = 9;
/// What the configuration lets one source send, a second, and at once. A rate that was forgotten would give the burst anew.
pub(crate) const RATE: u32 = 10;
pub(crate) const BURST: u32 = 1_000;
/// Passed beyond the rate's share of a time that is only measured around it.
const TOLERANCE: u64 = 2;
/// Requests a second. Each may take so long that only one that was never answered fails.
const REQUESTS: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(8);

/// A flood and a client under way.
pub(crate) struct Attack<'t> {
    topology: &'t Topology,
    flood: Running,
    client: Working,
    _nginx: Nginx,
}

impl<'t> Attack<'t> {
    /// Begins both, and waits until the source's burst is used up.
    pub(crate) fn begin(topology: &'t Topology) -> Self {
        let nginx = Nginx::start(&topology.server).unwrap();
        let frame = Topology::frame("11.0.0.1").udp(1, PORT);
        let flood = Flood { frame, sources: 1, pace: Some(PACE), at_most: Duration::from_secs(300) };
        let flood = flood.start(&topology.switch, topology.to_server().unwrap()).unwrap();
        let server = (SERVER.0, 80).into();
        let client = Client { server, rate: REQUESTS, timeout: PATIENCE }.start(&topology.client).unwrap();
        let attack = Self { topology, flood, client, _nginx: nginx };
        attack.use_up_burst();
        attack
    }

    /// Waits until no more than the rate passes.
    pub(crate) fn use_up_burst(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.within(Duration::from_millis(300)).0 > u64::from(RATE) {
            assert!(Instant::now() < deadline, "the flood's burst is never used up");
        }
    }

    /// Does `act` while both go on: nothing of the flood may pass beyond its limit, and no request may fail.
    pub(crate) fn during(&self, what: &str, act: impl FnOnce()) {
        self.nothing_failed(&format!("before {what}"));
        let begin = Instant::now();
        let (passed, sent) = (self.passed(), self.flood.sent().unwrap());
        act();
        let took = begin.elapsed();
        // What it leads to may come a little later.
        thread::sleep(Duration::from_millis(300));
        let (passed, sent) = (self.passed() - passed, self.flood.sent().unwrap() - sent);
        let allowed = (begin.elapsed().as_secs_f64() * f64::from(RATE)).ceil() as u64 + TOLERANCE;
        let served = self.client.take();
        println!(
            "{what}: {:.2} s; of {sent} flood packets {passed} passed ({allowed} within the limit); {} of {} requests served",
            took.as_secs_f64(),
            served.succeeded,
            served.attempted
        );
        assert!(sent > 300, "{what}: a flood that is none: {sent} packets");
        assert!(passed <= allowed, "{what}: {} packets beyond the limit", passed - allowed);
        assert!(served.attempted > 5, "{what}: a client that asks nothing");
        assert_eq!(served.succeeded, served.attempted, "{what}: {:?}", served.failures);
    }

    /// Requests that began in one case may fail in the next.
    fn nothing_failed(&self, when: &str) {
        let served = self.client.take();
        assert_eq!(served.succeeded, served.attempted, "{when}: {:?}", served.failures);
    }

    /// Ends both; the last requests may not fail either.
    pub(crate) fn end(self) {
        let served = self.client.stop().unwrap();
        assert_eq!(served.succeeded, served.attempted, "at the end: {:?}", served.failures);
        self.flood.stop().unwrap();
    }

    /// Whether the flood comes through, as it does to a host that nothing protects.
    pub(crate) fn comes_through(&self) -> bool {
        let (passed, sent) = self.within(Duration::from_millis(500));
        // Not all of it where others keep the machine busy: then the receive queue overruns.
        passed > u64::from(BURST / 10) && passed > sent / 4
    }

    /// How much of the flood passes in a time, and how much is sent.
    fn within(&self, time: Duration) -> (u64, u64) {
        let count = || (self.passed(), self.flood.sent().unwrap());
        let before = count();
        thread::sleep(time);
        let after = count();
        (after.0 - before.0, after.1 - before.1)
    }

    /// Datagrams of the flood that have reached the host's stack.
    fn passed(&self) -> u64 {
        self.topology.unheard_datagrams(false).unwrap()
    }
}
