//! The report of a run is one self-contained page, and it escapes the text that it takes from
//! files.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Place, fail, output, prepare, run, text};

/// Elements without an end tag.
const VOID: [&str; 3] = ["meta", "img", "!DOCTYPE"];

fn report(folder: &Path) -> String {
    let path = folder.join("report.html");
    let said = run(&["report", folder.to_str().unwrap()]);
    assert_eq!(said, format!("{}\n", path.display()));
    let page = fs::read_to_string(path).unwrap();
    assert_well_formed(&page);
    assert_self_contained(&page);
    page
}

/// Asserts that every element is closed, in order.
pub fn assert_well_formed(page: &str) {
    let mut open = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').unwrap() + at;
        let tag = &rest[at + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !VOID.contains(&name) {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

pub fn assert_self_contained(page: &str) {
    for asks in [
        "<script", "<link", "<iframe", "http:", "https:", "@import", "url(", "href",
    ] {
        assert!(!page.contains(asks), "{asks}");
    }
    for source in page.split(" src=\"").skip(1) {
        assert!(source.starts_with("data:image/"), "{}", &source[..40]);
    }
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
}

#[test]
fn report_shows_results_and_settings_of_the_run() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "3", "--neuron", "plif"]);
    let page = report(&folder);
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(page.contains(&format!("<h1>{name}</h1>")));
    let summary = fs::read_to_string(folder.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let accuracy = format!("{:.1} %", 100.0 * summary["test_acc"].as_f64().unwrap());
    assert!(page.contains(&format!("recognises <b>{accuracy}</b> of 22 test samples")));
    for part in [
        "<dd>3<small>in ",
        "color-scheme: light dark",
        "accuracy by epoch: train from ",
        "firing_rate_conv1",
        "tau (learnt)",
        "0 hand_clapping",
        "data:image/gif;base64,R0lGODlh",
        "data:image/png;base64,iVBORw0KGgo",
        "<th scope=\"row\">--v-threshold</th><td>0.4</td>",
        "dvs-train profile RUN",
        "accuracy-A",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<figure>").count(), 5);
    assert_eq!(
        page.matches("epoch 2: ").count(),
        2 + 2 + 1 + 7 + 7,
        "a mark for each"
    );
    let confusion = summary["confusion"].as_array().unwrap();
    let counts = confusion.iter().flat_map(|row| row.as_array().unwrap());
    let counts = counts.filter(|count| count.as_u64() != Some(0)).count();
    assert_eq!(page.matches("class=\"cell").count(), 121);
    assert_eq!(page.matches("aria-label=\"0\"").count(), 121 - counts);

    // The report shows the costs after `profile` has run.
    run(&["profile", folder.to_str().unwrap(), "--device", "cpu"]);
    let page = report(&folder);
    assert!(page.contains("MAC if dense") && page.contains("Horowitz"));
    assert!(page == report(&folder), "the same twice");
    // Resuming the run removes the outdated report and profile.
    let folder_path = folder.to_str().unwrap();
    run(&["--resume", folder_path, "--epochs", "4", "--device", "cpu"]);
    assert!(!folder.join("report.html").exists() && !folder.join("profile.json").exists());
}

#[test]
fn report_explains_missing_files() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "1"]);
    fs::remove_file(folder.join("summary.json")).unwrap();
    let page = report(&folder);
    assert!(page.contains("This run has not ended. Epochs done so far: 1."));
    fs::remove_file(folder.join("metrics.csv")).unwrap();
    assert!(report(&folder).contains("No epoch has ended yet."));

    let other = place.at("other.h5");
    let archive = place.at("other.tar.gz");
    prepare(&[
        "synth",
        "--users",
        "2",
        "--lights",
        "led",
        "--event-rate",
        "2000",
        "--gesture-seconds",
        "1",
        "-o",
        &archive,
    ]);
    prepare(&["-T", "2", "-i", &archive, "-o", &other]);
    let path = folder.to_str().unwrap();
    let page = place.at("page.html");
    for (cache, reason) in [
        (place.at("none.h5"), "there is no cache"),
        (
            other,
            "was made from other data than the run was trained on",
        ),
    ] {
        let said = output(&["report", path, "--cache", &cache, "-o", &page]);
        assert!(said.status.success());
        let warning = text(&said.stderr);
        assert!(
            warning.contains(reason) && warning.lines().count() == 1,
            "{warning}"
        );
        let page = fs::read_to_string(&page).unwrap();
        assert!(page.contains(reason) && !page.contains("data:image/"));
    }

    let error = fail(&["report", &place.at("none")]);
    assert!(
        error.contains("is not a folder; name a run's folder"),
        "{error}"
    );
    fs::create_dir(place.at("empty")).unwrap();
    let error = fail(&["report", &place.at("empty")]);
    assert!(
        error.contains("no folder there has a settings.json; name a run's folder"),
        "{error}"
    );
    let error = fail(&["report", path, "-o", &place.at("none/page.html")]);
    assert!(error.contains("cannot write"), "{error}");
    fs::write(folder.join("summary.json"), "{").unwrap();
    let error = fail(&["report", path]);
    assert!(
        error.contains("summary.json is not as this version writes it"),
        "{error}"
    );
}

#[test]
fn report_escapes_text_from_files() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "1"]);
    let evil = "<img src=x onerror=alert(1)>&\"'";
    let path = folder.join("metrics.csv");
    let metrics = fs::read_to_string(&path).unwrap();
    let metrics = metrics.replace("firing_rate_conv1", &format!("firing_rate_{evil}"));
    let metrics = metrics.replace("silent_neurons", &format!("{evil}_loss"));
    fs::write(&path, metrics + "1,NaN,inf,1e308,-5\nx\n").unwrap();
    let path = folder.join("settings.json");
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    settings["config"]["data"]["cache"] = evil.into();
    settings["created_by"] = evil.into();
    fs::write(&path, settings.to_string()).unwrap();
    let named = folder.with_file_name(evil);
    fs::rename(&folder, &named).unwrap();
    let page = report(&named);
    assert!(!page.contains("<img src=x"), "it is taken at its word");
    // The text is in the title, heading, legend, marks, columns, settings, program and cache.
    assert!(
        page.matches("&lt;img src=x onerror=alert(1)&gt;&amp;")
            .count()
            > 8
    );
}
