//! The kernel program that judges a vector.

#[path = "../../../ebpf/src/bin/bench/vectors/exchange.rs"]
mod exchange;

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, TestRun as _, TestRunOptions, Xdp},
};
use stopbank_tests::skip;

pub(crate) use exchange::Exchange;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp"));

const PROGRAM: &str = "gcra_vectors";
/// `XDP_PASS`.
const PASS: u32 = 2;

/// Why no vector can be run here, if none can.
pub(crate) fn obstacle() -> Option<String> {
    if OBJECT.is_empty() {
        return Some("built without the BPF objects: run `cargo xtask build`".to_owned());
    }
    skip::no_kernel()
}

/// The loaded program.
pub(crate) struct Kernel(Ebpf);

impl Kernel {
    pub(crate) fn load() -> Self {
        let mut loader = EbpfLoader::new();
        // The object is the benchmark's: what its other programs need is not needed here.
        for map in ["LRU_V4", "LRU_V6"] {
            loader.map_max_entries(map, 1);
        }
        let mut ebpf = loader.load(OBJECT).unwrap();
        let program: &mut Xdp = ebpf.program_mut(PROGRAM).unwrap().try_into().unwrap();
        program.load().unwrap();
        Self(ebpf)
    }

    /// Gives the vector to the program.
    pub(crate) fn judge(&self, asked: Exchange) -> Exchange {
        let Some(Program::Xdp(program)) = self.0.program(PROGRAM) else { panic!("{PROGRAM} is not there") };
        let frame = to_bytes(&asked);
        let mut answer = [0; size_of::<Exchange>()];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        options.data_out = Some(&mut answer);
        let result = program.test_run(options).unwrap();
        assert_eq!(result.return_value, PASS, "the program could not judge {asked:?}");
        from_bytes(&answer)
    }
}

fn to_bytes(exchange: &Exchange) -> Vec<u8> {
    let Exchange { arrival, now, increment, tolerance, units, admitted } = *exchange;
    let mut bytes: Vec<u8> =
        [arrival, now, increment, tolerance].into_iter().flat_map(u64::to_ne_bytes).collect();
    bytes.extend(units.to_ne_bytes());
    bytes.extend(admitted.to_ne_bytes());
    bytes
}

fn from_bytes(bytes: &[u8; size_of::<Exchange>()]) -> Exchange {
    let long = |index: usize| u64::from_ne_bytes(bytes[index * 8..][..8].try_into().unwrap());
    let short = |offset: usize| u32::from_ne_bytes(bytes[offset..][..4].try_into().unwrap());
    Exchange {
        arrival: long(0),
        now: long(1),
        increment: long(2),
        tolerance: long(3),
        units: short(32),
        admitted: short(36),
    }
}
