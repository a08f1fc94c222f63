//! AEDAT 2 stores each event as an address and a time. The camera that the header names, or else
//! the bits that the addresses use, decide how the program reads them.

use dvs_shared::CacheFile;

use super::{DVS128, Dataset, SIZE_346, expected, recognised};
use crate::cameras::{V2E, addressed, aedat2, davis, dvs128, dvs640, events_on};
use crate::support::{dvs_prep, fail, run, text};

const SIZE_640: (u32, u32) = (640, 480);

#[test]
fn recognises_the_layout_of_v2e_addresses() {
    for (size, layout, name) in [(SIZE_346, 0, "DAVIS"), (SIZE_640, 1, "DVS640")] {
        let events = events_on(4000, size);
        let addresses = match layout {
            0 => addressed(&events, |e| davis(e, size)),
            _ => addressed(&events, dvs640),
        };
        let dataset = Dataset::new(&aedat2(V2E, &addresses));
        let sensor = format!("{}x{}", size.0, size.1);
        for args in [&[][..], &["--sensor", &sensor]] {
            let summary = dataset.summary(args);
            assert_eq!(summary["events_read"], 8000, "{args:?}");
            assert_eq!(
                (&summary["width"], &summary["height"]),
                (&size.0.into(), &size.1.into())
            );
            assert!(recognised(&summary).contains(name), "{summary}");
            assert_eq!(dataset.samples(args), expected(&events, size));
            let shown = dataset.view(args);
            assert_eq!(shown["samples"][0]["events"], 4000);
        }
    }
}

#[test]
fn asks_for_the_size_if_addresses_leave_it_open() {
    // v2e writes the same header for 346 x 260 and 240 x 180 pixels. These events fit both.
    let small = events_on(500, (240, 180));
    let addresses = addressed(&small, |e| davis(e, (240, 180)));
    let dataset = Dataset::new(&aedat2(V2E, &addresses));
    let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
    for said in [dataset.fail(&[]), view] {
        assert!(said.contains("reach column 239 and row 179"), "{said}");
        assert!(said.contains("--sensor 240x180"), "{said}");
    }
    let sensor = ["--sensor", "240x180"];
    assert_eq!(dataset.samples(&sensor), expected(&small, (240, 180)));
    // If another program wrote the recording and the header names no camera, the DAVIS may have any
    // size. Even events in the last column and row of 346 x 260 pixels do not decide it.
    let large = addressed(&events_on(500, SIZE_346), |e| davis(e, SIZE_346));
    let said = Dataset::new(&aedat2("", &large)).fail(&[]);
    assert!(said.contains("reach column 345 and row 259"), "{said}");
    assert!(said.contains("--sensor 346x260"), "{said}");
}

#[test]
fn reads_16_bit_addresses_as_dvs128() {
    let events = events_on(1000, DVS128);
    let dataset = Dataset::new(&aedat2("", &addressed(&events, dvs128)));
    assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
    let summary = dataset.summary(&[]);
    assert!(recognised(&summary).contains("as they have 16 bits and no camera is named"));
    // The option may name a larger sensor. No event is left out.
    let wide = dataset.summary(&["--sensor", "200x150"]);
    assert_eq!(
        (&wide["width"], &wide["events_read"]),
        (&200.into(), &2000.into())
    );
    // No known camera has addresses with these bits.
    let addresses: Vec<(u32, u32)> = (0..100).map(|i| (1 << 30 | 1 << 21 | i, i)).collect();
    let unknown = Dataset::new(&aedat2("", &addresses));
    for args in [&[][..], &["--sensor", "640x480"]] {
        let said = unknown.fail(args);
        assert!(said.contains("--layout"), "{said}");
    }
}

#[test]
fn reads_unknown_cameras_by_the_layout_option() {
    let events = events_on(800, SIZE_346);
    let header = "# AEChip: org.example.NewDavis\r\n";
    let addresses = addressed(&events, |e| davis(e, SIZE_346));
    let dataset = Dataset::new(&aedat2(header, &addresses));
    let said = dataset.fail(&[]);
    assert!(
        said.contains("org.example.NewDavis") && said.contains("--layout"),
        "{said}"
    );
    let said = dataset.fail(&["--layout", "davis"]);
    assert!(said.contains("--sensor"), "{said}");
    let options = ["--layout", "davis", "--sensor", "346x260"];
    assert_eq!(dataset.samples(&options), expected(&events, SIZE_346));
    // The cache records the layout, and the layout changes the key.
    let cache = CacheFile::open(&dataset.cache()).unwrap();
    assert_eq!(cache.header.layout.map(|l| l.name()), Some("davis"));
    let key = |args: &[&str]| {
        let input = dataset.input();
        run(&[&["key", "-i", text(&input)], args].concat()).stdout
    };
    assert_ne!(key(&options), key(&["--sensor", "346x260"]));
    // The header may name a smaller camera than the one that recorded the events.
    let large = events_on(800, SIZE_640);
    let addresses = addressed(&large, |e| davis(e, SIZE_640));
    let mislabelled = Dataset::new(&aedat2("# AEChip: Davis346red\r\n", &addresses));
    let sensor = ["--sensor", "640x480"];
    for args in [&[][..], &sensor] {
        let said = mislabelled.fail(args);
        assert!(said.contains("say so with --layout and --sensor"), "{said}");
    }
    let options = ["--layout", "davis", "--sensor", "640x480"];
    assert_eq!(mislabelled.samples(&options), expected(&large, SIZE_640));
    let said = dataset.fail(&["--layout", "dvs640", "--sensor", "346x260"]);
    assert!(
        said.contains("with --layout davis, not with --layout dvs640"),
        "{said}"
    );
    let mut command = dvs_prep(["--layout", "atis"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}

#[test]
fn refuses_more_than_1_percent_impossible_addresses() {
    let events = events_on(1000, SIZE_346);
    let header = "# AEChip: eu.seebetter.ini.chips.davis.Davis346red\r\n";
    let mut addresses = addressed(&events, |e| davis(e, SIZE_346));
    let impossible = |address: u32| (address | 3, 5000);
    addresses.extend((0..10).map(|i| impossible(i << 22)));
    let dataset = Dataset::new(&aedat2(header, &addresses));
    let summary = dataset.summary(&[]);
    assert_eq!(summary["events_left_out"]["unexplained"], 20);
    let warned = summary["warnings"].to_string();
    assert!(
        warned.contains("a.aedat: left out 10 events with addresses, types or times"),
        "{warned}"
    );
    addresses.extend((0..10).map(|i| impossible(i << 22)));
    let said = Dataset::new(&aedat2(header, &addresses)).fail(&[]);
    for part in [
        "20 of its 1020 events",
        "DAVIS",
        "0x00000003",
        "--layout",
        "--sensor",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[test]
fn refuses_dvs128_addresses_with_unused_bits() {
    let events = events_on(1000, DVS128);
    let header = "# AEChip: DVS128\r\n";
    // A DVS128 uses bits 0 to 14 for the pixel and the polarity. Bit 15 marks a synchronisation
    // pulse and bit 31 a special event. Bits 16 to 30 are always clear.
    for unused in [1 << 16, 1 << 30 | 1 << 15, 1 << 31 | 1 << 20] {
        let mut addresses = addressed(&events, dvs128);
        addresses.extend((0..500).map(|i| (unused | i, 11_000)));
        let said = Dataset::new(&aedat2(header, &addresses)).fail(&[]);
        assert!(said.contains("500 of its 1500 events"), "{said}");
    }
    // If the header names no camera, addresses with bit 15 set do not show that it was a DVS128.
    let mut pulses = addressed(&events, dvs128);
    pulses.extend((0..500).map(|i| (1 << 15 | i, 11_000)));
    let said = Dataset::new(&aedat2("", &pulses)).fail(&[]);
    assert!(said.contains("--layout"), "{said}");
    let named = Dataset::new(&aedat2(header, &pulses)).summary(&[]);
    assert_eq!(named["events_left_out"]["other_types"], 1000);
}

#[test]
fn keeps_times_of_out_of_order_events_at_the_wrap() {
    // Times wrap after 2^32 us, which is 71 minutes. The fourth event is from before the wrap but
    // comes after it.
    let times = [u32::MAX - 20, u32::MAX - 10, 5, u32::MAX - 2, 15, 25];
    let events = events_on(6, DVS128);
    let addresses: Vec<(u32, u32)> = events.iter().map(dvs128).zip(times).collect();
    let dataset = Dataset::new(&aedat2("# AEChip: DVS128\r\n", &addresses));
    let shown = dataset.view(&["--start-us", "0", "--end-us", "9000000000"]);
    assert_eq!(shown["samples"][0]["events"], 6);
    let wrap = 1_i64 << 32;
    let number_between = |from: i64, to: i64| {
        let (from, to) = (from.to_string(), to.to_string());
        let shown = dataset.view(&["--start-us", &from, "--end-us", &to]);
        shown["samples"][0]["events"].as_u64().unwrap()
    };
    assert_eq!(
        (
            number_between(0, wrap),
            number_between(wrap, wrap + 26),
            number_between(wrap + 26, 3 * wrap)
        ),
        (3, 3, 0)
    );
}

#[test]
fn refuses_v2e_events_outside_the_sensor_and_labelled_noise() {
    let events = events_on(4000, SIZE_346);
    let mut addresses = addressed(&events, |e| davis(e, SIZE_346));
    addresses.insert(100, (400 << 12 | 7 << 22, events[100].t as u32));
    let dataset = Dataset::new(&aedat2(V2E, &addresses));
    let sensor = ["--sensor", "346x260"];
    let said = dataset.fail(&sensor);
    assert!(said.contains("1 of its 4001 events"), "{said}");
    let ignored = [&sensor[..], &["--ignore-outside"]].concat();
    let summary = dataset.summary(&ignored);
    assert_eq!(summary["events_left_out"]["outside_sensor"], 2);
    assert_eq!(dataset.samples(&ignored), expected(&events, SIZE_346));
    let noise = format!("{V2E}# noise events are labeled as addressed external input events\r\n");
    let large = addressed(&events_on(4000, SIZE_640), dvs640);
    let said = Dataset::new(&aedat2(&noise, &large)).fail(&[]);
    assert!(said.contains("--label_signal_noise"), "{said}");
}
