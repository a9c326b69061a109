use super::*;

fn finished(sum: u32, source: u32, port: u32) -> u16 {
    let mut sum = sum + (source >> 16) + (source & 0xffff) + port;
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[test]
fn the_sums_complete_to_the_checksums_of_whatever_source() {
    let v4 = FrameBuilder::new("10.0.0.1", "10.99.0.1");
    let v6 = FrameBuilder::new("fd98:0:1::1", "fd99::1");
    for builder in [
        v4.clone().tcp(1, 80).tcp_options(&[2, 4, 5, 180]),
        v4.clone().udp(1, 443).payload(&[7; 19]),
        v4.echo_request(),
        v6.clone().tcp(1, 80),
        v6.clone().udp(1, 443).payload(b"odd"),
        v6.echo_request(),
    ] {
        let flood = Flood { frame: builder, sources: 1, pace: None, at_most: Duration::ZERO };
        for varied in [Varied::SourcePort, Varied::DestinationPort] {
            let (frame, settings) = flood.template(1, varied).unwrap();
            let port = match settings.port_at as usize {
                0 => 0,
                at => u32::from(u16::from_be_bytes([frame[at], frame[at + 1]])),
            };
            for (at, sum, port) in [
                (settings.header_checksum_at, settings.header_sum, 0),
                (settings.transport_checksum_at, settings.transport_sum, port),
            ] {
                if at != 0 {
                    let at = at as usize;
                    assert_eq!(frame[at..at + 2], finished(sum, settings.first_source, port).to_be_bytes());
                }
            }
        }
    }
}
