#![allow(clippy::panic, clippy::unwrap_used)]

use super::*;

fn launch(variables: &str) -> Result<Option<Launch>, RankError> {
    let lookup = |name: &str| {
        let mut pairs = variables
            .split_whitespace()
            .filter_map(|v| v.split_once('='));
        pairs
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.to_owned())
    };
    Launch::from_env(&lookup)
}

const SRUN: &str = "SLURM_JOB_ID=12345 SLURM_STEP_ID=2 SLURM_PROCID=3 SLURM_NTASKS=8 \
                    SLURM_LOCALID=1 SLURM_STEP_NODELIST=node[07-08],x";
const TORCHRUN: &str = "RANK=1 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=head \
                        MASTER_PORT=29400 TORCHELASTIC_RUN_ID=none";

#[test]
fn every_launcher_is_understood() {
    use Launcher::{Mpirun, Srun, Torchrun, Variables};
    // Launcher, rank, size, rank and size on this host, host and port of rank 0.
    type Expected = (
        Launcher,
        usize,
        usize,
        Option<usize>,
        Option<usize>,
        &'static str,
        u16,
    );
    let ompi = "OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=0";
    let table: Vec<(String, Expected)> = vec![
        (SRUN.into(), (Srun, 3, 8, Some(1), None, "node07", 22547)),
        (
            format!(
                "{SRUN} SLURM_STEP_NUM_TASKS=6 SLURM_STEP_TASKS_PER_NODE=2(x2),1(x2) SLURM_NODEID=3"
            ),
            (Srun, 3, 6, Some(1), Some(1), "node07", 22547),
        ),
        (
            format!("{SRUN} MASTER_ADDR=a MASTER_PORT=5"),
            (Srun, 3, 8, Some(1), None, "a", 5),
        ),
        // srun --mpi=pmi2 and --mpi=pmix.
        (
            format!("{SRUN} PMI_RANK=3 PMI_SIZE=8 PMIX_RANK=3"),
            (Srun, 3, 8, Some(1), None, "node07", 22547),
        ),
        // torchrun within srun, whose agent has the port itself.
        (
            format!("{SRUN} {TORCHRUN} TORCHELASTIC_USE_AGENT_STORE=True"),
            (Torchrun, 1, 4, Some(1), Some(2), "head", 29401),
        ),
        (
            format!("{TORCHRUN} TORCHELASTIC_USE_AGENT_STORE=False"),
            (Torchrun, 1, 4, Some(1), Some(2), "head", 29400),
        ),
        (
            format!("{TORCHRUN} DVS_RANKS_PORT=777"),
            (Torchrun, 1, 4, Some(1), Some(2), "head", 777),
        ),
        (
            "RANK=0 WORLD_SIZE=2 MASTER_ADDR=::1 MASTER_PORT=9".into(),
            (Variables, 0, 2, None, None, "::1", 9),
        ),
        (
            format!("{ompi} OMPI_COMM_WORLD_LOCAL_SIZE=4"),
            (Mpirun, 2, 4, Some(0), Some(4), "127.0.0.1", 29500),
        ),
        // The daemons of mpirun are a step of srun.
        (
            format!("{SRUN} {ompi} OMPI_COMM_WORLD_LOCAL_SIZE=2 MASTER_ADDR=b"),
            (Mpirun, 2, 4, Some(0), Some(2), "b", 29500),
        ),
        (
            format!("{SRUN} PMI_RANK=1 PMI_SIZE=2 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2"),
            (Mpirun, 1, 2, Some(1), Some(2), "127.0.0.1", 29500),
        ),
    ];
    for (variables, (launcher, rank, size, local_rank, local_size, host, port)) in table {
        let found = launch(&variables).unwrap().unwrap();
        let expected = Launch {
            launcher,
            local_rank,
            local_size,
            ..Launch::new(rank, size, host, port, found.token.clone())
        };
        assert_eq!(found, expected, "{variables}");
    }
}

#[cfg(feature = "mpi")]
#[test]
fn mpi_needs_no_address_of_rank_0() {
    let several_hosts = "DVS_RANKS_ENGINE=mpi OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4 \
                         OMPI_COMM_WORLD_LOCAL_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=0";
    let found = launch(several_hosts).unwrap().unwrap();
    assert_eq!((found.rank, found.size), (2, 4));
    assert_eq!((found.host.as_str(), found.port), ("", 0));
    // PMIx tells the number of ranks to MPI alone.
    assert_eq!(launch("DVS_RANKS_ENGINE=mpi PMIX_RANK=0"), Ok(None));
}

#[test]
fn single_processes_are_no_ranks() {
    for variables in [
        "",
        "RANK= WORLD_SIZE=",
        "RANK=0 WORLD_SIZE=1",
        // A batch script, a shell of salloc, and srun -n 1.
        "SLURM_JOB_ID=1 SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_LOCALID=0",
        "SLURM_JOB_ID=1 SLURM_STEP_ID=4294967290 SLURM_PROCID=0 SLURM_NTASKS=4",
        "SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=1",
        "MASTER_ADDR=a MASTER_PORT=3",
    ] {
        assert_eq!(launch(variables), Ok(None), "{variables}");
    }
}

#[test]
fn contradictions_are_named() {
    for (variables, name, part) in [
        ("RANK=0", "WORLD_SIZE", "but RANK is set"),
        ("WORLD_SIZE=2", "RANK", "but WORLD_SIZE is set"),
        ("RANK=2 WORLD_SIZE=2", "RANK", "not less than WORLD_SIZE"),
        ("RANK=0 WORLD_SIZE=0", "WORLD_SIZE", "0 ranks"),
        ("RANK=x WORLD_SIZE=2", "RANK", "\"x\" is not a number"),
        ("RANK=-1 WORLD_SIZE=2", "RANK", "\"-1\" is not a number"),
        (
            "RANK=0 WORLD_SIZE=2 MASTER_PORT=9",
            "MASTER_ADDR",
            "2 ranks",
        ),
        (
            "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a",
            "MASTER_PORT",
            "free port",
        ),
        (
            "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=70000",
            "MASTER_PORT",
            "70000",
        ),
        (
            "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=0",
            "MASTER_PORT",
            "no port",
        ),
        (
            "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=65535 TORCHELASTIC_RUN_ID=x",
            "MASTER_PORT",
            "DVS_RANKS_PORT",
        ),
        ("SLURM_STEP_ID=0 SLURM_PROCID=0", "SLURM_NTASKS", "missing"),
        (
            "SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=2",
            "SLURM_JOB_ID",
            "missing",
        ),
        (
            "SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=2",
            "MASTER_ADDR",
            "SLURM_STEP_NODELIST",
        ),
        (
            "SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_JOB_NODELIST=[",
            "SLURM_JOB_NODELIST",
            "not a list of nodes",
        ),
        (
            "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=2",
            "MASTER_ADDR",
            "2 of 4 ranks are on this host",
        ),
        ("PMI_RANK=0 PMI_SIZE=2", "MASTER_ADDR", "does not say"),
        ("PMIX_RANK=0", "PMIX_RANK", "RANK and WORLD_SIZE"),
    ] {
        match launch(variables) {
            Err(RankError::Variable { name: n, reason }) => {
                assert_eq!(n, name, "{variables}");
                assert!(reason.contains(part), "{variables}: {reason}");
            }
            other => panic!("{variables}: {other:?}"),
        }
    }
}

#[test]
fn the_token_belongs_to_the_job() {
    let token = |variables: &str| launch(variables).unwrap().unwrap().token;
    let other_rank = SRUN
        .replace("PROCID=3", "PROCID=4")
        .replace("LOCALID=1", "LOCALID=0");
    assert_eq!(token(SRUN), token(&other_rank));
    assert_ne!(token(SRUN), token(&SRUN.replace("12345", "22345")));
    assert_ne!(token(SRUN), token(&SRUN.replace("STEP_ID=2", "STEP_ID=3")));
    // mpirun forks the ranks of its own host, and starts those of others by srun.
    let mpirun = "SLURM_JOB_ID=1 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 MASTER_ADDR=a";
    let daemon = format!("{mpirun} SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=1");
    assert_eq!(token(mpirun), token(&daemon));
    let secret = |step: &str| {
        token(&format!(
            "{} DVS_RANKS_TOKEN=x",
            SRUN.replace("STEP_ID=2", step)
        ))
    };
    assert_eq!(secret("STEP_ID=2"), secret("STEP_ID=3"));
    assert_eq!(secret("STEP_ID=2"), Token::new("x"));
}
