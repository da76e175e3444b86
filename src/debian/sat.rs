//! Satisfiability of clauses, by propagation, learning and jumping back (conflict-driven clause learning). Who asks it decides
//! what is tried first, so that the first solution found is the preferred one.

/// A variable or its opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Literal(u32);

/// Literals of which one has to be true.
pub(super) type ClauseId = usize;

impl Literal {
    pub(super) fn yes(variable: usize) -> Self {
        Self(u32::try_from(variable << 1).unwrap_or(u32::MAX - 1))
    }

    pub(super) fn no(variable: usize) -> Self {
        Self::yes(variable).opposite()
    }

    fn opposite(self) -> Self {
        Self(self.0 ^ 1)
    }

    pub(super) fn variable(self) -> usize {
        (self.0 >> 1) as usize
    }

    pub(super) fn negative(self) -> bool {
        self.0 & 1 == 1
    }

    fn place(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// `None`: not decided.
    value: Option<bool>,
    /// How many decisions there were when it became what it is.
    level: usize,
    /// The clause that made it so; `None` for decisions.
    reason: Option<ClauseId>,
}

#[derive(Debug, Default)]
struct Clause {
    /// The first two are watched: when one becomes false, another has to be found.
    literals: Vec<Literal>,
    /// The clauses that a learned one follows from.
    because: Vec<ClauseId>,
}

/// Why there is no solution: clauses that cannot all be true, the learned ones not among them.
pub(super) type Core = Vec<ClauseId>;

/// More steps than are granted.
#[derive(Debug)]
pub(super) struct Exhausted;

/// What a variable or a clause costs, so that the limit of steps is one of memory too.
const ROOM: u64 = 100;

#[derive(Debug, Default)]
pub(super) struct Sat {
    states: Vec<State>,
    clauses: Vec<Clause>,
    /// By literal: the clauses that watch it.
    watching: Vec<Vec<ClauseId>>,
    /// What is decided and what follows, in time's order.
    trail: Vec<Literal>,
    /// The length of the trail at each decision.
    levels: Vec<usize>,
    propagated: usize,
    conflict: Option<ClauseId>,
    steps: u64,
    granted: u64,
}

impl Sat {
    /// `steps`: how many literals may be looked at; what is kept costs more.
    pub(super) fn new(steps: u64) -> Self {
        Self { granted: steps, ..Self::default() }
    }

    pub(super) fn variable(&mut self) -> usize {
        self.steps += ROOM;
        self.states.push(State::default());
        self.watching.extend([Vec::new(), Vec::new()]);
        self.states.len() - 1
    }

    /// Whether a variable is true or false, if that is decided.
    pub(super) fn value(&self, variable: usize) -> Option<bool> {
        self.states[variable].value
    }

    fn literal(&self, literal: Literal) -> Option<bool> {
        self.states[literal.variable()].value.map(|value| value == (literal.0 & 1 == 0))
    }

    /// What is decided and what follows from it, in time's order.
    pub(super) fn trail(&self) -> &[Literal] {
        &self.trail
    }

    /// Adds a clause at any time.
    pub(super) fn add(&mut self, mut literals: Vec<Literal>) -> ClauseId {
        literals.sort_unstable();
        literals.dedup();
        self.push(Clause { literals, because: Vec::new() })
    }

    fn push(&mut self, mut clause: Clause) -> ClauseId {
        let id = self.clauses.len();
        self.steps += ROOM + 8 * (clause.literals.len() + clause.because.len()) as u64;
        // The literals that are not false, or were the last to become so, are the ones to watch.
        let late = |literal: &Literal| match self.literal(*literal) {
            Some(false) => self.states[literal.variable()].level,
            _ => usize::MAX,
        };
        for place in 0..clause.literals.len().min(2) {
            let best = (place..clause.literals.len())
                .max_by_key(|at| (late(&clause.literals[*at]), usize::MAX - at));
            clause.literals.swap(place, best.unwrap_or(place));
        }
        for literal in clause.literals.iter().take(2) {
            self.watching[literal.place()].push(id);
        }
        let first = clause.literals.first().copied();
        let second = clause.literals.get(1).copied();
        self.clauses.push(clause);
        match first.map(|first| (first, self.literal(first))) {
            None | Some((_, Some(false))) => self.conflict = self.conflict.or(Some(id)),
            Some((first, None)) if second.is_none_or(|second| self.literal(second) == Some(false)) => {
                self.assign(first, Some(id));
            }
            Some(_) => {}
        }
        id
    }

    fn assign(&mut self, literal: Literal, reason: Option<ClauseId>) {
        self.states[literal.variable()] =
            State { value: Some(literal.0 & 1 == 0), level: self.levels.len(), reason };
        self.trail.push(literal);
    }

    /// Takes a literal that is not decided as true.
    pub(super) fn decide(&mut self, literal: Literal) {
        self.levels.push(self.trail.len());
        self.assign(literal, None);
    }

    /// Follows all that follows. `false`: there is a conflict.
    pub(super) fn propagate(&mut self) -> Result<bool, Exhausted> {
        while self.conflict.is_none() && self.propagated < self.trail.len() {
            let falsified = self.trail[self.propagated].opposite();
            self.propagated += 1;
            let mut watching = std::mem::take(&mut self.watching[falsified.place()]);
            let mut at = 0;
            while at < watching.len() && self.conflict.is_none() {
                let id = watching[at];
                let mut literals = std::mem::take(&mut self.clauses[id].literals);
                if literals[0] == falsified && literals.len() > 1 {
                    literals.swap(0, 1);
                }
                let other = literals[0];
                if literals.len() > 1 && self.literal(other) == Some(true) {
                    self.steps += 1;
                    at += 1;
                } else if let Some(found) =
                    (2..literals.len()).find(|at| self.literal(literals[*at]) != Some(false))
                {
                    self.steps += found as u64;
                    literals.swap(1, found);
                    self.watching[literals[1].place()].push(id);
                    watching.swap_remove(at);
                } else {
                    self.steps += literals.len() as u64;
                    at += 1;
                    if literals.len() == 1 || self.literal(other) == Some(false) {
                        self.conflict = Some(id);
                    } else {
                        self.assign(other, Some(id));
                    }
                }
                self.clauses[id].literals = literals;
            }
            // Nobody began to watch it meanwhile, since it is false.
            self.watching[falsified.place()] = watching;
            if self.conflict.is_some() {
                self.propagated -= 1;
            }
            if self.steps > self.granted {
                return Err(Exhausted);
            }
        }
        Ok(self.conflict.is_none())
    }

    /// Learns from the conflict and goes back to where what it learned is news. An error is the reason why there is no
    /// solution at all.
    pub(super) fn learn(&mut self) -> Result<(), Core> {
        let Some(conflict) = self.conflict.take() else { return Ok(()) };
        let level =
            self.clauses[conflict].literals.iter().map(|literal| self.states[literal.variable()].level).max();
        let level = level.unwrap_or(0);
        if level == 0 {
            self.back_to(0);
            return Err(self.core(conflict));
        }
        self.back_to(level);
        let mut seen = vec![false; self.states.len()];
        self.steps += seen.len() as u64;
        let (mut learned, mut because, mut open) = (Vec::new(), Vec::new(), 0);
        let (mut id, mut at) = (conflict, self.trail.len());
        let last = loop {
            because.push(id);
            self.steps += self.clauses[id].literals.len() as u64;
            for literal in &self.clauses[id].literals {
                let state = self.states[literal.variable()];
                if seen[literal.variable()] || self.literal(*literal) == Some(true) {
                    continue;
                }
                seen[literal.variable()] = true;
                if state.level == level {
                    open += 1;
                } else if state.level > 0 {
                    learned.push(*literal);
                } else if let Some(reason) = state.reason {
                    because.push(reason);
                }
            }
            // The last of this level that had a part in it.
            while at > 0 && !seen[self.trail[at - 1].variable()] {
                at -= 1;
            }
            at -= 1;
            let literal = self.trail[at];
            open -= 1;
            match self.states[literal.variable()].reason {
                Some(reason) if open > 0 => id = reason,
                _ => break literal.opposite(),
            }
        };
        let back = learned.iter().map(|literal| self.states[literal.variable()].level).max().unwrap_or(0);
        learned.insert(0, last);
        self.back_to(back);
        self.push(Clause { literals: learned, because });
        Ok(())
    }

    fn back_to(&mut self, level: usize) {
        let Some(end) = self.levels.get(level).copied() else { return };
        for literal in self.trail.drain(end..) {
            self.states[literal.variable()] = State::default();
        }
        self.levels.truncate(level);
        self.propagated = self.propagated.min(end);
    }

    /// The clauses that a conflict without any decision goes back to.
    fn core(&self, conflict: ClauseId) -> Core {
        let mut seen = vec![false; self.clauses.len()];
        let (mut open, mut core) = (vec![conflict], Vec::new());
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            let clause = &self.clauses[id];
            if clause.because.is_empty() {
                core.push(id);
            }
            open.extend(&clause.because);
            open.extend(clause.literals.iter().filter_map(|literal| self.states[literal.variable()].reason));
        }
        core.sort_unstable();
        self.least(core)
    }

    /// As few of these clauses as still cannot all be true.
    fn least(&self, mut core: Core) -> Core {
        /// Above this it would take long, and nobody reads so long a reason.
        const MANY: usize = 400;
        let mut at = 0;
        while core.len() <= MANY && at < core.len() {
            let mut fewer = core.clone();
            fewer.remove(at);
            if self.contradictory(&fewer) { core = fewer } else { at += 1 }
        }
        core
    }

    fn contradictory(&self, clauses: &[ClauseId]) -> bool {
        let mut variables = std::collections::BTreeMap::new();
        let mut sat = Self::new(1_000_000);
        for id in clauses {
            let literals = self.clauses[*id].literals.iter().map(|literal| {
                let variable = *variables.entry(literal.variable()).or_insert_with(|| sat.variable());
                Literal(Literal::yes(variable).0 | (literal.0 & 1))
            });
            let literals = literals.collect();
            sat.add(literals);
        }
        loop {
            match sat.propagate() {
                Err(Exhausted) => return false,
                Ok(false) if sat.conflict_at_root() => return true,
                Ok(false) => {
                    if sat.learn().is_err() {
                        return true;
                    }
                }
                Ok(true) => match sat.states.iter().position(|state| state.value.is_none()) {
                    Some(variable) => sat.decide(Literal::no(variable)),
                    None => return false,
                },
            }
        }
    }

    /// Spares [`Sat::contradictory`] to look for reasons of reasons.
    fn conflict_at_root(&self) -> bool {
        self.conflict.is_some_and(|id| {
            self.clauses[id].literals.iter().all(|literal| self.states[literal.variable()].level == 0)
        })
    }
}
