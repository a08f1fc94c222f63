//! Finds out from the environment which rank this process is, and where rank 0 is.

mod nodes;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::engine::Engine;
use crate::error::RankError;
use crate::token::Token;

/// The port of rank 0 if nothing names one: that of PyTorch.
const DEFAULT_PORT: u16 = 29500;

/// Slurm numbers steps that `srun` does not start (batch scripts, interactive shells) from here.
const FIRST_SPECIAL_STEP: u64 = 0xffff_fff0;

/// The program that started the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// `RANK` and `WORLD_SIZE` without `torchrun`.
    Variables,
    Torchrun,
    /// Open MPI, or MPICH and Intel MPI with Hydra.
    Mpirun,
    Srun,
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variables => "RANK and WORLD_SIZE",
            Self::Torchrun => "torchrun",
            Self::Mpirun => "mpirun",
            Self::Srun => "srun",
        })
    }
}

/// What a process must know to meet the other ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub launcher: Launcher,
    /// From 0 to `size - 1`.
    pub rank: usize,
    /// Number of ranks: at least 2 from [`Launch::from_env`].
    pub size: usize,
    /// This rank's number among those of its host, where the launcher says it.
    pub local_rank: Option<usize>,
    /// Number of ranks on this host, where the launcher says it.
    pub local_size: Option<usize>,
    /// Host name or address of rank 0; empty if the ranks meet by MPI, which needs none.
    pub host: String,
    /// The port on which rank 0 meets the others; 0 if they meet by MPI.
    pub port: u16,
    /// By which the ranks know each other.
    pub token: Token,
}

/// The process's variables as a launcher set them.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

/// Rank and size, and the same on this host.
struct Place {
    launcher: Launcher,
    rank: (&'static str, usize),
    size: (&'static str, usize),
    local_rank: Option<usize>,
    local_size: Option<usize>,
}

fn wrong(name: &str, reason: impl Into<String>) -> RankError {
    RankError::Variable {
        name: name.to_owned(),
        reason: reason.into(),
    }
}

impl Variables<'_> {
    /// A variable's text; one that is set to nothing counts as missing.
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|text| !text.is_empty())
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, RankError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text.trim().parse();
        number
            .map(Some)
            .map_err(|_| wrong(name, format!("{text:?} is not a number that it can have")))
    }

    /// The place that four variables describe; `None` if rank and size are both missing.
    fn place(
        &self,
        launcher: Launcher,
        [rank, size, local_rank, local_size]: [&'static str; 4],
    ) -> Result<Option<Place>, RankError> {
        let missing = |name, other| {
            let reason = format!("is missing, but {other} is set. Set both or none");
            Err(wrong(name, reason))
        };
        match (self.number(rank)?, self.number(size)?) {
            (None, None) => Ok(None),
            (Some(_), None) => missing(size, rank),
            (None, Some(_)) => missing(rank, size),
            (Some(r), Some(s)) => Ok(Some(Place {
                launcher,
                rank: (rank, r),
                size: (size, s),
                local_rank: self.number(local_rank)?,
                local_size: self.number(local_size)?,
            })),
        }
    }

    /// Whether `srun` started this process. In a batch script and in the shell of `salloc` the
    /// task variables are set as well, but the script is one process.
    fn in_srun_step(&self) -> Result<bool, RankError> {
        let step: Option<u64> = self.number("SLURM_STEP_ID")?;
        Ok(step.is_some_and(|step| step < FIRST_SPECIAL_STEP))
    }

    /// The place of the innermost launcher: `torchrun` runs within `srun`, and an `mpirun` within
    /// a Slurm job starts its daemons by `srun`.
    fn innermost(&self, engine: Engine) -> Result<Option<Place>, RankError> {
        let torchrun = self.text("TORCHELASTIC_RUN_ID").is_some();
        let launcher = match torchrun {
            true => Launcher::Torchrun,
            false => Launcher::Variables,
        };
        let names = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"];
        if let Some(place) = self.place(launcher, names)? {
            return Ok(Some(place));
        }
        let names = [
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "OMPI_COMM_WORLD_LOCAL_SIZE",
        ];
        if let Some(place) = self.place(Launcher::Mpirun, names)? {
            return Ok(Some(place));
        }
        let srun = self.in_srun_step()?;
        // `srun --mpi=pmi2` sets the first two as well, but not those of Hydra.
        if !srun || self.text("MPI_LOCALRANKID").is_some() {
            let names = ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"];
            if let Some(place) = self.place(Launcher::Mpirun, names)? {
                return Ok(Some(place));
            }
        }
        if srun {
            let size = ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"]
                .into_iter()
                .find(|name| self.text(name).is_some())
                .unwrap_or("SLURM_NTASKS");
            let names = ["SLURM_PROCID", size, "SLURM_LOCALID", ""];
            let mut place = self.place(Launcher::Srun, names)?;
            if let Some(place) = &mut place {
                place.local_size = self.slurm_local_size()?;
            }
            return Ok(place);
        }
        if engine == Engine::Tcp && self.text("PMIX_RANK").is_some() {
            let reason = "is set, but PMIx does not tell the number of ranks in a variable. Set \
                          RANK and WORLD_SIZE for each process";
            return Err(wrong("PMIX_RANK", reason));
        }
        Ok(None)
    }

    /// Host and port of rank 0.
    fn roster(&self, place: &Place) -> Result<(String, u16), RankError> {
        let host = self.text("MASTER_ADDR");
        let port: Option<u16> = self.number("MASTER_PORT")?;
        if let Some(port) = self.number("DVS_RANKS_PORT")? {
            return Ok((self.host(place, host)?, port));
        }
        let port = match (place.launcher, port) {
            // The agent of torchrun itself listens on the port, unless it says that it does not.
            (Launcher::Torchrun, Some(port))
                if self.text("TORCHELASTIC_USE_AGENT_STORE").as_deref() != Some("False") =>
            {
                port.checked_add(1).ok_or_else(|| {
                    let reason = "leaves no port after it for the ranks. Set DVS_RANKS_PORT";
                    wrong("MASTER_PORT", reason)
                })?
            }
            (_, Some(port)) => port,
            (Launcher::Srun, None) => self.slurm_port()?,
            (Launcher::Mpirun, None) => DEFAULT_PORT,
            (launcher, None) => {
                let reason = format!(
                    "is missing, but {launcher} say that there are {} ranks. Set it to a free port \
                     on the host of rank 0",
                    place.size.1
                );
                return Err(wrong("MASTER_PORT", reason));
            }
        };
        if port == 0 {
            return Err(wrong("MASTER_PORT", "0 is no port that others can call"));
        }
        Ok((self.host(place, host)?, port))
    }

    fn host(&self, place: &Place, given: Option<String>) -> Result<String, RankError> {
        if let Some(host) = given {
            return Ok(host);
        }
        let size = place.size.1;
        match place.launcher {
            Launcher::Srun => {
                let names = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"];
                let Some(name) = names.into_iter().find(|name| self.text(name).is_some()) else {
                    let reason = "is missing, as is SLURM_STEP_NODELIST. Set it to the host of \
                                  rank 0";
                    return Err(wrong("MASTER_ADDR", reason));
                };
                let list = self.text(name).unwrap_or_default();
                nodes::first(&list).ok_or_else(|| {
                    wrong(
                        name,
                        format!("{list:?} is not a list of nodes. Set MASTER_ADDR"),
                    )
                })
            }
            Launcher::Mpirun if place.local_size == Some(size) => Ok("127.0.0.1".to_owned()),
            Launcher::Mpirun => {
                let here = match place.local_size {
                    Some(here) => format!("{here} of {size} ranks are on this host"),
                    None => "mpirun does not say how many ranks are on this host".to_owned(),
                };
                let reason = format!(
                    "is missing, and {here}. Set it to the host of rank 0, as with mpirun -x \
                     MASTER_ADDR=node01 or -genv MASTER_ADDR node01"
                );
                Err(wrong("MASTER_ADDR", reason))
            }
            launcher => {
                let reason = format!(
                    "is missing, but {launcher} say that there are {size} ranks. Set it to the \
                     host of rank 0"
                );
                Err(wrong("MASTER_ADDR", reason))
            }
        }
    }

    /// Number of ranks of an `srun` on this host.
    fn slurm_local_size(&self) -> Result<Option<usize>, RankError> {
        let tasks = self.text("SLURM_STEP_TASKS_PER_NODE");
        let node = self.number("SLURM_NODEID")?;
        Ok(tasks
            .zip(node)
            .and_then(|(tasks, node)| nodes::tasks(&tasks, node)))
    }

    /// A port from 20000 to 29999 that differs between the steps of a job and between jobs that
    /// follow each other.
    fn slurm_port(&self) -> Result<u16, RankError> {
        let job: u64 = self.number("SLURM_JOB_ID")?.ok_or_else(|| {
            wrong(
                "SLURM_JOB_ID",
                "is missing. Set it, or MASTER_PORT to a free port",
            )
        })?;
        let step: u64 = self.number("SLURM_STEP_ID")?.unwrap_or(0);
        let offset = job.wrapping_add(step.wrapping_mul(101)) % 10_000;
        Ok(20_000 + u16::try_from(offset).unwrap_or(0))
    }

    /// The secret, or else what the ranks of this job share and those of another job do not.
    fn token(&self, launcher: Launcher) -> Token {
        if let Some(secret) = self.text("DVS_RANKS_TOKEN") {
            return Token::new(&secret);
        }
        let mut names = vec![
            "SLURM_JOB_ID",
            "TORCHELASTIC_RUN_ID",
            "PMIX_NAMESPACE",
            "OMPI_MCA_ess_base_jobid",
        ];
        // Within one job of another launcher, some ranks are in a step and others are not.
        if launcher == Launcher::Srun {
            names.push("SLURM_STEP_ID");
        }
        let mut job = format!("user={}", rustix::process::getuid().as_raw());
        for name in names {
            job += &format!(" {name}={}", self.text(name).unwrap_or_default());
        }
        Token::new(&job)
    }
}

impl Launch {
    /// A launch that a program describes itself.
    pub fn new(rank: usize, size: usize, host: &str, port: u16, token: Token) -> Self {
        Self {
            launcher: Launcher::Variables,
            rank,
            size,
            local_rank: None,
            local_size: None,
            host: host.to_owned(),
            port,
            token,
        }
    }

    /// What the launcher's variables say; `None` if this process is the only rank.
    ///
    /// `variable` looks a variable up, as in `Launch::from_env(&|name| std::env::var(name).ok())`.
    /// If several launchers left variables, the innermost counts: `RANK` and `WORLD_SIZE`, then
    /// Open MPI, Hydra, and `srun`. If `DVS_RANKS_ENGINE` asks for MPI, the address of rank 0 is not
    /// looked for.
    ///
    /// # Errors
    /// Returns an error if variables are missing, are not numbers, or contradict each other, and as
    /// [`Engine::from_env`].
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, RankError> {
        let variables = Variables(variable);
        let engine = Engine::from_env(variable)?;
        let Some(place) = variables.innermost(engine)? else {
            return Ok(None);
        };
        let ((rank_name, rank), (size_name, size)) = (place.rank, place.size);
        if size == 0 {
            return Err(wrong(size_name, "there cannot be 0 ranks"));
        }
        if rank >= size {
            let reason = format!("{rank} is not less than {size_name}, which is {size}");
            return Err(wrong(rank_name, reason));
        }
        if size == 1 {
            return Ok(None);
        }
        let (host, port) = match engine {
            Engine::Tcp => variables.roster(&place)?,
            Engine::Mpi => (String::new(), 0),
        };
        Ok(Some(Self {
            launcher: place.launcher,
            rank,
            size,
            local_rank: place.local_rank,
            local_size: place.local_size,
            token: variables.token(place.launcher),
            host,
            port,
        }))
    }
}
