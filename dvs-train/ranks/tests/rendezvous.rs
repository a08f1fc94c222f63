//! How ranks meet, and worlds that are wrong.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENT, errors, free_address, launches, run, short};
use dvs_ranks::{Launch, Ranks, Token};

fn all_name(errors: &[String], parts: &[&str]) {
    for error in errors {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn ranks_may_come_in_any_order() {
    let launches = launches(4);
    let late = |world: &dvs_ranks::World| {
        let peers: Vec<usize> = world.peers().iter().map(|peer| peer.rank).collect();
        world.finish()?;
        Ok(peers)
    };
    thread::scope(|scope| {
        let others = scope.spawn(|| run(&launches[1..], PATIENT, late));
        thread::sleep(Duration::from_millis(300));
        let first = run(&launches[..1], PATIENT, late);
        let all = [first, others.join().unwrap()].concat();
        assert_eq!(all, vec![Ok(vec![0, 1, 2, 3]); 4]);
    });
}

#[test]
fn a_missing_rank_is_named_to_all() {
    let start = Instant::now();
    let launches = launches(5);
    let found = errors(run(&launches[..3], short(700), |_| Ok(())));
    all_name(&found, &["waited 0.7 s", "for ranks 3, 4 of 5 ranks"]);
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[test]
fn without_rank_0_the_others_say_where_they_looked() {
    let launches = launches(3);
    let found = errors(run(&launches[1..], short(500), |_| Ok(())));
    let address = format!("{}:{}", launches[0].host, launches[0].port);
    all_name(
        &found,
        &[
            "cannot reach rank 0 at",
            &address,
            "within 0.5 s",
            "refused",
        ],
    );
}

#[test]
fn another_world_size_is_named_to_all() {
    let mut launches = launches(3);
    launches[2].size = 4;
    let found = errors(run(&launches, PATIENT, |_| Ok(())));
    all_name(&found, &["rank 2 on ", "a world size of 4", "with 3"]);
}

#[test]
fn a_rank_twice_is_named_to_all() {
    for (twice, other) in [(1, 2), (0, 1)] {
        let mut launches = launches(4);
        let wrong = if twice == 0 {
            // The second rank 0 finds the address taken.
            let found = errors(run(
                &[launches[0].clone(), launches[0].clone()],
                short(500),
                |_| Ok(()),
            ));
            let taken = found
                .iter()
                .filter(|e| e.contains("cannot listen on"))
                .count();
            assert_eq!(taken, 1, "{found:?}");
            continue;
        } else {
            launches[other].rank = twice;
            errors(run(&launches, PATIENT, |_| Ok(())))
        };
        let process = std::process::id().to_string();
        all_name(&wrong, &["two processes are rank 1", &process]);
    }
}

#[test]
fn a_rank_beyond_the_world_is_refused() {
    let mut launches = launches(2);
    launches[1].rank = 2;
    let found = errors(run(&launches[1..], PATIENT, |_| Ok(())));
    all_name(&found, &["rank 2 on ", "not less than the world size, 2"]);
}

#[test]
fn an_address_that_is_taken_or_elsewhere_is_named() {
    let launches = launches(2);
    let address = format!("{}:{}", launches[0].host, launches[0].port);
    let _taken = TcpListener::bind(&address).unwrap();
    let found = errors(run(&launches[..1], PATIENT, |_| Ok(())));
    all_name(&found, &["rank 0 on ", &address, "in use", "MASTER_PORT"]);
    let launch = |host: &str| Launch::new(0, 2, host, launches[0].port, Token::new("test"));
    // An address for documentation alone, which no host has.
    let found = errors(run(&[launch("192.0.2.1")], PATIENT, |_| Ok(())));
    all_name(
        &found,
        &["192.0.2.1", "not an address of this host", "MASTER_ADDR"],
    );
    let found = errors(run(&[launch("0.0.0.0")], PATIENT, |_| Ok(())));
    all_name(&found, &["means all addresses"]);
    let found = errors(run(&[launch("no such host")], PATIENT, |_| Ok(())));
    all_name(&found, &["the name is not known"]);
    let mut several = launch("127.0.0.1");
    several.local_size = Some(1);
    let found = errors(run(&[several], PATIENT, |_| Ok(())));
    all_name(&found, &["reaches only this host"]);
}

#[test]
fn a_rank_with_another_token_is_refused_and_the_others_meet() {
    let launches = launches(2);
    let mut stranger = launches[1].clone();
    stranger.token = Token::new("another");
    thread::scope(|scope| {
        let first = scope.spawn(|| run(&launches[..1], PATIENT, |world| world.finish()));
        let found = errors(run(&[stranger], PATIENT, |_| Ok(())));
        all_name(
            &found,
            &["rank 1 on ", "the token is another one", "DVS_RANKS_TOKEN"],
        );
        let second = run(&launches[1..], PATIENT, |world| world.finish());
        assert_eq!([first.join().unwrap(), second].concat(), [Ok(()), Ok(())]);
    });
}

#[test]
fn refused_connections_are_counted() {
    let launches = launches(2);
    let mut stranger = launches[1].clone();
    stranger.token = Token::new("another");
    thread::scope(|scope| {
        let first = scope.spawn(|| errors(run(&launches[..1], short(1500), |_| Ok(()))));
        let refused = errors(run(&[stranger], PATIENT, |_| Ok(())));
        all_name(&refused, &["the token is another one"]);
        all_name(
            &first.join().unwrap(),
            &["for rank 1 of 2 ranks; 1 connection was refused"],
        );
    });
}

#[test]
fn a_listener_without_the_token_is_not_believed() {
    // It answers like rank 0, as far as one can without the token.
    let (ip, port) = free_address();
    let listener = TcpListener::bind((ip, port)).unwrap();
    let launch = Launch::new(1, 2, &ip.to_string(), port, Token::new("test"));
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(&[b"dvsranks\x01".as_slice(), &[7; 32]].concat())
                .unwrap();
            let mut theirs = [0; 73];
            stream.read_exact(&mut theirs).unwrap();
            // Their own proof, as an attacker would give it back.
            stream.write_all(&[&[1], &theirs[41..]].concat()).unwrap();
            // Nothing about the rank comes.
            assert_eq!(stream.read(&mut theirs).unwrap(), 0);
        });
        let found = errors(run(&[launch], PATIENT, |_| Ok(())));
        all_name(&found, &["it does not have the job's token"]);
    });
}

#[test]
fn other_protocols_and_versions_are_named() {
    for (greeting, part) in [
        (
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            "speaks another protocol",
        ),
        (
            [b"dvsranks\x63".as_slice(), &[0; 32]].concat(),
            "protocol version 99",
        ),
    ] {
        let (ip, port) = free_address();
        let listener = TcpListener::bind((ip, port)).unwrap();
        let launch = Launch::new(1, 2, &ip.to_string(), port, Token::new("test"));
        thread::scope(|scope| {
            scope.spawn(|| listener.accept().unwrap().0.write_all(&greeting).unwrap());
            all_name(&errors(run(&[launch], PATIENT, |_| Ok(()))), &[part]);
        });
    }
}

#[test]
fn garbage_and_silent_connections_disturb_nobody() {
    let launches = launches(3);
    let address = format!("{}:{}", launches[0].host, launches[0].port);
    let start = Instant::now();
    thread::scope(|scope| {
        let first = scope.spawn(|| run(&launches[..1], PATIENT, |world| world.finish()));
        let connect = || {
            loop {
                if let Ok(stream) = TcpStream::connect(&address) {
                    return stream;
                }
                assert!(start.elapsed() < Duration::from_secs(10));
            }
        };
        let mut garbage = connect();
        garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // The greeting, then the end.
        let _ = garbage.read_to_end(&mut answer);
        assert_eq!(answer.len(), 41);
        let silent: Vec<TcpStream> = (0..40).map(|_| connect()).collect();
        let mut half = connect();
        half.write_all(b"dvsranks\x01half").unwrap();
        let others = run(&launches[1..], PATIENT, |world| world.finish());
        assert_eq!([first.join().unwrap(), others].concat(), vec![Ok(()); 3]);
        drop((silent, half));
    });
    // Silent ones have five seconds of their own.
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_rank_that_leaves_while_others_are_awaited_is_named_to_all() {
    let launches = launches(4);
    // With a timeout of its own it gives up before the last rank comes.
    thread::scope(|scope| {
        let others = scope.spawn(|| errors(run(&launches[..2], PATIENT, |w| w.barrier())));
        let leaving = errors(run(&launches[2..3], short(100), |_| Ok(())));
        all_name(&leaving, &["it answered, but did not name the other ranks"]);
        let last = errors(run(&launches[3..], PATIENT, |w| w.barrier()));
        all_name(&last, &["rank 2 on "]);
        all_name(&others.join().unwrap(), &["rank 2 on "]);
    });
}

/// The addresses on which this process listens, as Linux shows them: in hexadecimal digits.
#[cfg(target_os = "linux")]
fn listening() -> Vec<String> {
    let own: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == "0A" && own.iter().any(|inode| inode == fields[9]) {
                found.push(fields[1].split(':').next().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
#[cfg(target_os = "linux")]
fn ranks_listen_only_on_the_address_of_rank_0_and_only_until_they_have_met() {
    let launches = launches(2);
    let std::net::IpAddr::V4(ip) = launches[0].host.parse().unwrap() else {
        panic!("not an address of version 4");
    };
    let here = format!("{:08X}", u32::from_le_bytes(ip.octets()));
    thread::scope(|scope| {
        let first = scope.spawn(|| run(&launches[..1], PATIENT, |w| w.barrier()));
        let deadline = Instant::now() + Duration::from_secs(10);
        // One listener for the rendezvous, one for the other rank.
        while listening()
            .iter()
            .filter(|address| **address == here)
            .count()
            < 2
        {
            assert!(Instant::now() < deadline, "{here}: {:?}", listening());
        }
        // Other tests of this process listen on other loopback addresses.
        let elsewhere = listening()
            .into_iter()
            .find(|address| !address.ends_with("7F"));
        assert_eq!(elsewhere, None);
        let second = run(&launches[1..], PATIENT, |world| {
            world.barrier()?;
            Ok(listening()
                .iter()
                .filter(|address| **address == here)
                .count())
        });
        assert_eq!(second, [Ok(0)]);
        let _ = first.join().unwrap();
    });
}
