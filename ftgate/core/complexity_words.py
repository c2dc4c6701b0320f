"""The English words by which core.complexity sees what is asked, by what they show: in small letters, and without a
plural's s. Several words are a phrase.
"""

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH: Mapping[str, frozenset[str]] = {
    "chat": _words("bye cheers congrats goodbye great haha hello hey hi lol morning perfect thank thanks thx"),
    "terse": _words("briefly one-line one-liner one-word tldr"),
    "change": _words(
        "alphabetical alphabetically alphabetize antonym capitalize categorize category classify comment convert "
        "dedupe dupe duplicate emoji extract grammar headline longer lowercase order paraphrase plural polish "
        "pronounce pronunciation proofread punctuate punctuation reformat remove rename rephrase replace reverse "
        "reword rhyme round sentiment shorten shorter simpler singular sort spell spelling summarise summarize "
        "summary synonym tense title translate translation trim typo uppercase yaml"
    ),
    "lookup": _words(
        "abbreviation capital define definition many meaning much name percent population shortcut stand "
        "symbol temperature timezone tip what what's whats when where which who who's whos whose"
    ),
    "limit": _words("assume each every exactly given if randomly such suppose unless without"),
    "make": _words(
        "agenda app article blog bot brainstorm budget build campaign checklist component compose create "
        "critique curriculum dashboard debug design develop dialogue dockerfile draft essay exercise feedback fix "
        "function game generate guide ideas implement itinerary lesson letter menu modify newsletter "
        "organize outline page parser persona pitch plan poem port post prepare presentation program proposal query "
        "quiz recipe recommend refactor report resume review rewrite roadmap routine schedule scraper script "
        "setup song speech story structure suggest template tips turn tutorial unittest update website workout "
        "write"
    ),
    "think": _words(
        "advantage analyse analyze argue argument assess best better choose compare comparison cons convince "
        "describe diagnose difference disadvantage discuss evaluate example explain improve interpret negotiate "
        "opinion optimize pros reason recommend reflect should troubleshoot understand versus vs why would wrong"
    ),
    "proof": _words(
        "adversarial adversarially amortized asymptotic asymptotically axiom bijection characterize conjecture "
        "conjectured contradiction contrapositive converge corollary correctness counterexample decidable "
        "derivation derive disproof disprove falsify generalise generalize iff impossibility indistinguishable "
        "induction inductive infeasibility injective invariant lagrangian-point lemma minimax monochromatic "
        "necessarily nonexistence np-complete np-hard optimality paradox pigeonhole proof provable provably prove "
        "proven proving refutation refute refuted rigorous rigorously soundness sufficiency surjective tautology "
        "theorem tightness undecidable uniqueness unprovable unsolvable wlog"
    ),
    "mathematics": _words(
        "abelian affine algebraic amortised antiderivative asymptote asymptotics automata automaton axiomatic "
        "banach bernoulli bezout bijective binary-search binomial bipartite bisector borel cantor cardinality "
        "cauchy chebyshev chord chromatic circumcircle clique cnf cohomology combinatorial combinatoric commutative "
        "commutator concave congruence congruent conic convergent converges convex coprime copula coset countable "
        "countably covariance curvature cyclic cyclotomic determinant differentiable digraph diophantine dirichlet "
        "discontinuous divergence divergent divisible divisor duality dynamic-programming eigenfunction eigenvalue "
        "eigenvector ellipse endomorphism entropy epsilon ergodic estimator eulerian fenwick fermat fourier functor "
        "galois gaussian geodesic hamming hausdorff hermitian hessian hilbert holomorphic homeomorphic homomorphism "
        "homotopy hyperbola hypercube hypergraph incircle independence inequality inf infimum infinitely integral "
        "integrate involution irrational isometry isomorphic isomorphism jacobian jensen jordan lagrangian laplace "
        "lattice lebesgue legendre lim lipschitz locus logarithm maclaurin manifold markov martingale matroid "
        "measurable memoryless meromorphic mersenne metrizable min-cut mle modular modulo modulus monic monoid "
        "monotone monotonic multinomial multiplicative multivariate nilpotent nonconvex nondecreasing nonempty "
        "nonnegative nonzero np nullspace ode ordinal orthogonal orthonormal parabola parallelogram parity pde pell "
        "perpendicular piecewise poisson polynomial polynomial-time primality quadrilateral quaternion quotient "
        "ramsey reals riemann segment-tree semigroup simplex sobolev spanning spectral squarefree stirling "
        "stochastic subadditive subgroup subspace summand summation sup supremum taylor telescoping tensor "
        "tetrahedron topological topologies totient transcendental trapezoid trie truth-teller uncountable unimodal "
        "union-find unitary urn vandermonde vertice zermelo zeta zorn"
    ),
    "systems": _words(
        "-o2 -o3 2pc aba abi active-active adc adversary aliasing allocator allreduce anycast ast at-least-once "
        "at-most-once atomic attestation auditability autoscaler autoscaling avx avx-512 b-tree backfill backoff "
        "backpressure bf16 bgp binlog bit-exact bit-flip bitstream bloat branch-predictor bufferbloat byzantine "
        "cache-line cap-theorem cascading cassandra cdc cgo checkpointing cilium ciphertext circom circuit-breaker "
        "clang clickhouse coherence commutativity compaction comparator compensating concurrently condvar "
        "conflict-free congestion constant-time contention corruption cpython crc crdt cross-compile cryptographic "
        "ct-log cutover dac deadlock deadlocked deadlocking decltype deduplication denormal dereference "
        "deserialization determinism deterministic deterministically dfa disassemble disk-full diverge diverges dma "
        "dnssec double-checked double-spend dual-write durability dynamodb ebpf ecc ecdsa enclave endian endianness "
        "epoll etcd event-sourcing exactly-once fault-tolerance fault-tolerant fencing ffi fixed-point flakiness "
        "flaky flamegraph flink floating-point forgery fp16 fp32 fp8 fpga fragmentation fsync fuzz fuzzing gcc "
        "groth16 gtid half-open heartbeat heisenbug high-availability hmac hot-path hugepage hyperthreading "
        "hypervisor hysteresis idempotence idempotency idempotent interleaving intermittent intermittently "
        "intrinsics io_uring iommu irq jmm kafka-streams keepalive kv-cache latencie leader-election "
        "linearizability linearizable livelock livelocked livepatch llvm load-shedding lock-free lockfree lockstep "
        "log-structured lookup-phase lora lsm madvise malloc memory_order mesi metastability microarchitecture "
        "microbenchmark miscompile misprediction mitm mmap mpmc mtls mtu multi-region multi-tenant multi-threaded "
        "multicast mutex mutexe mvcc nagle nccl nfa non-blocking nonblocking nonce nondeterminism nondeterministic "
        "nondeterministically numa o0 o2 o3 obfuscated off-by-one once-only oom opcode optimistic-locking "
        "out-of-order outbox overcommit p50 p95 p99 p99.9 p999 page-cache page-fault page-table parallelism "
        "parity-check partition-tolerant partitioning pathological paxos petabyte pki post-mortem postmortem pprof "
        "preempted preemption preemptive prefetch prefetching priority-inversion query-plan queueing queuing quorum "
        "raft rce rcu rdma rebalance rebalancing reentrancy reentrant refcount refcounting register-allocation "
        "relocations reorder reordering replayable resharding retransmit reverse-engineer ring-buffer rlhf "
        "rowhammer rsa rtl rtos safepoint segfault serialisable serializability serializable sfinae shellcode "
        "side-channel sigbus sigsegv simd smp snark sni spectre speculative spinlock split-brain spsc ssa ssrf "
        "starvation state-machine strangler strict-aliasing synchronization syscall tail-latency tamper "
        "template-instantiation template-metaprogramming tenancy tensor-parallel thrash thread-safe thundering tlb "
        "toctou tombstone tps transactional tsan two-phase-commit type-checker type-inference ub underflow "
        "unification unresponsive use-after-free userfaultfd varhandle vector-clock vectorization vectorize "
        "vectorized verifier verilog vtable wait-free wal wraparound write-ahead write-amplification write-skew xa "
        "xor zab zero-downtime zero-knowledge zgc zk zookeeper"
    ),
    "field": _words(
        "ablation accrual acidosis actuarial adiabatic adjudication aerofoil affidavit agonist airfoil amiodarone "
        "amortization amplifier anaesthesia anemia anesthesia annuity anova antagonist anticoagulant "
        "anticompetitive antidepressant antitrust aortic apixaban appellate arbitrage arbitration arbitrator "
        "arrears arrhythmia attributable auditor autoimmune backpropagation beneficiary benzodiazepine bilirubin "
        "biomarker biopsy black-scholes cap-table cardiac cardiovascular carnot catalyst causal causation censoring "
        "chemotherapy chirality cirrhosis ckd clawback clinically clustered cohort collider combustion comorbidity "
        "confounder confounding consolidation contractual contraindication convexity coronary corrosion cortisol "
        "counterclaim counterfactual counterparty covariate covariates covenant creatinine creditor crispr "
        "cross-border cross-default cvar cytokine damping dcf debenture debtor defamation defendant deferred "
        "delirium delta-v dementia dialysis diffraction discriminatory divestiture domicile dosage dosing drawdown "
        "earn-out ebitda ecg econometric edema efficacy egfr elasticity electromagnetic elliptical encumbrance "
        "endogeneity endoscopy enforceability enforceable enthalpy entropy epidemiology equilibria estimand "
        "estoppel etiology evidence-based export-control expropriation externality extradition felony fermion fetal "
        "fibrillation fibrosis fiduciary finite-element fiscal fission fugacity gaap gdpr genotype geotechnical "
        "gestational gilti glomerular gpl gravitational guarantor gyroscope haemoglobin hamiltonian hedging "
        "hematology hemoglobin hepatic hepatitis heteroskedastic heteroskedasticity hydrology hypertension "
        "hyponatremia hypotension hypothyroid icu ifrs igbt immunology impedance imputation inadmissible "
        "indemnification indemnify indemnity inductor inertia infarction inflation-targeting inhibitor injunction "
        "insolvency insolvent interlocutory inverter irr ischemia ischemic isomer isothermal isotope judicial "
        "jurisdiction jurisprudence kalman kinematic lactate laminar lawsuit lbo lesion lgd libor lien "
        "linear-programming lipid liquidated liquidation liquidator litigation longitudinal lymphoma macroeconomic "
        "macroprudential malignancy malignant malpractice materiality mcmc mechanism-design metabolic metastasis "
        "metformin mezzanine milp misappropriation misrepresentation missing-data mixed-effects mmhg mmol mnar moic "
        "multicollinearity multilevel myocardial nash negligence nephrology neuron neutrino nmr non-compete "
        "noncompete npv nyquist oncology opioid optics oscillation ovarian overfitting p-value pathology "
        "pathophysiology payout pcr pde peeking pendulum perjury permeability perturbation pharmacokinetic "
        "pharmacology phenotype phylogeny pid placebo plaintiff plasmid platelet pleading pneumonia policyholder "
        "potassium precedent premarital prenup prenuptial probate prognosis propensity prosecution psychosis "
        "quantization radiology ramification randomisation randomised randomization randomized rdd reactor "
        "readmission receivable recidivism rectifier redemption redox refinancing reinsurance relativistic "
        "relativity renal restatement restitution risk-neutral rivaroxaban sarcoma scattering schizophrenia "
        "securitisation securitization seismic sepsis severability shareholder sharpe shear sofr solver "
        "spectroscopy spillover ssri statute statutory stenosis stent stiffness stoichiometry subpoena subrogation "
        "subsidy superconducting superconductor swaption syndrome tachycardia takeover tamoxifen tenure "
        "testamentary testimony thermodynamic thiazide thrombosis thyroid titrate titration tort toxicity "
        "toxicology tranche transfer-pricing transfusion transistor tribunal trimester truss turbulence "
        "unconscionable underpowered underwriting unlawful vasopressor vesting viscosity wacc warfarin wavefunction "
        "wavelength withholding works-council wrongful"
    ),
    "demand": _words(
        "alternative ambiguity argue argument assumption breached breaks broken cause comprehensive compute "
        "conclusive confirm contradict contradictory convincing counterargument critically decisive defensible "
        "distribution exactly exhaustive exhaustively explicitly extend failure flaw formal formalize formally "
        "fully implication in-depth interaction interplay justification justify likely nuance nuanced objection "
        "pitfall plausible precisely quantify quantitative redesign restructure reverse rigor robust rollback "
        "scenario sensitivity sketch strategy subtle systematic systematically thorough thoroughly trade-off "
        "tradeoff uncertainty validate verify weakest weakness whose"
    ),
    "hint": _words(
        "acceleration acid acquire acquisition acute algebra analytic anomaly antibiotic antibody appeal arg "
        "arrange asynchronous asyncio attack attention attorney attrition auction audit balance bandwidth "
        "bankruptcy barrier basel bayesian bending bias biology bishop bloom bootloader borrower boson bottleneck "
        "bound bounds breach bytecode calculus calibration cancer capacitor cardio cardiology cas causality "
        "checkpoint checksum chronic circuit clause clinical cluster cnn codec coefficient coin collateral "
        "collision colored coloring coloured colouring compact compiler compliance concurrency concurrent "
        "conditional consecutive consensus consideration contingent continuous contour convergence convertible "
        "copyright coroutine corporate correlated corrupt corrupted counterfeit coupon court covering crash crashed "
        "crashes ct cubic cuda custody damages dataset deadline decoder decompose decrypt dedup degenerate delaware "
        "density deposition derivative diagnosed diagnosis diagnostic diagonal dice die differential diffusion "
        "dilution dimension directive dismissal dispute dissent distinct distributed divides divorce domino dose "
        "downtime drift drug duration encryption envelopes enzyme ephemeral equilibrium equity ethical euclidean "
        "euler eventual eventually evict eviction expectation exploit exponential factorial fail failing failover "
        "fatigue fault fibonacci finite firmware flux forensic forge friction fusion gambler gamma garbage gauss "
        "generating genes genetic genome geometric geometry gil goodwill goroutine gossip governance gpu gradient "
        "graph greek grpc handshake hang hangs hat hazard heap hedge hexagon hitting hormone hotspot hull hydraulic "
        "hypotenuse identification immigration immune impairment incentive incident inconsistent infection "
        "inference infinite infinity infringement inheritance injection inscribed insider instrumentation insulin "
        "insurance insurer integer interference intermediate interrupt intersection isolation isosceles isr istio "
        "iterate iterative jit jitter jvm kafka kelly kernel kidney kinetics knapsack knight kubernetes landlord "
        "latency law lawyer ldap leader leak leaking lease legal lender leverage lexer liability liable liar "
        "lifetime likelihood linker liver loan lock locking logic malicious matrice matrix mechanism mediator "
        "medication merger metric microservice migration module momentum monetary monolith mortgage mri "
        "multithreaded mutation netty neural noise nonlinear norm offset offshore operator optimization optimizer "
        "oracle orbit orbital overflow packet padding parallel parole partition partner patent patient permutation "
        "photon pipeline planar planner plasma player pod polygon polymer portfolio posterior postgres precision "
        "pregnancy prescribed prime prisoner privilege probabilistic probability profile profiler prosecutor "
        "protein protocol psychiatric puzzle qps quadratic quantum quota race radius rank rational recognised "
        "recognition recognized reconcile reconciliation recurrence recursion reduction regression regularity "
        "regulation regulator regulatory reliability repeatable replacement replay replica replicated replication "
        "residue resistor resonance retries retry risk rollout rook rps rss ruin saga sanction sandbox sanitizer "
        "sat satellite scanner scheduler sec secretary securities segmentation seizure semantics semaphore "
        "semiconductor sequential settled settlement severance shard sharded sharding shortest signal significance "
        "simulation skew sliding snapshot sovereign sphere spike square-root stability stall stalled starve "
        "stationary statistical steroid stone strain stroke subset subsidiary surgery surjection survival swap "
        "symmetry symptom synthesis tangent tariff tax taxation tb telescope tenant terabyte termination terraform "
        "theory thermal thread threat throughput tile time-travel timeout tokio topology torque tournament traces "
        "trademark transformer treaty tree trial triangle trigonometric trustee tumor tumour turing ultrasound "
        "unaligned unbiased uncertain undefined unsafe uplift vaccine vacuum valuation variance vega velocity "
        "vertex viral virus visa volatile volatility vulnerability waiver warmup warranty watchdog waterfall "
        "watermark weighing whistleblower"
    ),
    "odd": _words(
        "inexplicable inexplicably mysterious mysteriously occasionally puzzling randomly sometimes sporadic "
        "sporadically unexpectedly weird weirdly"
    ),
    "basics": _words(
        "analogy basic beginner cheat-sheet eli5 everyday example explainer grandma illustrate introduce introduction "
        "introductory intuition intuitive intuitively intro junior kid layman newbie overview plain podcast primer "
        "simple simply student teenager template tutorial"
    ),
    "agent": _words("agentic autonomous autonomously"),
}

PHRASES: Mapping[str, tuple[str, ...]] = {
    "also": (
        " and add", " and list", " and explain", " and flag", " and give", " and tell", " and handle",
        " and point", " then ", " and suggest", " and say", " and why", " and adapt", " and write", " and make",
        "as well as", " and describe", "type hint", "with owners", " and its", " and compare", " and discuss",
        "convert this c", "convert this f", "hooks",
    ),
    "fact": (
        "stand for", "another term", "another name", "stands for", "name of", "who invented", "who wrote",
        "who created", "who came up", "who discovered", "who proved", "what year", "which year", "meaning of",
        "full form", "word for", "default port", "how do you pronounce", "how do you spell", "mean?", "mean in",
        "yes or no", "latex for", "come out", "short for", "abbreviation",
    ),
    "terse": (
        "one word", "one sentence", "two sentences", "one line", "short line", "a sentence", "yes or no",
        "true or false", "just the", "only output", "nothing else", "no explanation", "don't explain",
        "exactly one",
    ),
    "change": (
        "phone number", "email address", "this sentence", "these words", "the word ", "this word", "this phrase",
        "this tweet", "this review", "this date", "these numbers", "this number", "this string", "past tense",
        "what language", "which language", "how many words", "following sentence", "following words", "is correct",
        "grammatically", "passive voice", "active voice", "first letter", "line breaks", "in quotes", "as a list",
        "comma separated", "comma-separated", "to celsius", "in english", "into english", "to english",
        "in french", "in spanish", "in german", "in chinese", "into chinese", "in japanese", "more formal",
        "more polite", "another word", "other word", "how do you say", "how do i say", "fix the grammar",
        "to uppercase", "remove dup", "words for", "the following categories", "more politely", "more formally",
        "count the", "first name", "make it", "say it", "put it", "put that", "translate that", "spell check",
        "bullet list", "bullet points",
    ),
    "lookup": (
        "how many", "how much", "how old", "what does", "what is", "what's", "does it say",
    ),
    "think": (
        "how can i", "how should", "how do i avoid", "how do i prepare", "how do i stop", "how do you deal",
    ),
    "proof": (
        "find all functions", "find all integers", "find all pairs", "find all positive", "find all real",
        "how many ways", "is it guaranteed", "guaranteed by", "probability that", "the fewest", "no two",
        "no couple", "always win", "can always", "show that", "closed form", "for all n", "if and only if",
        "true bound", "lower bound", "upper bound", "for every n", "for which n", "is my reasoning",
        "where precisely", "what went wrong in", "is it true that", "necessary and sufficient", "determine all",
        "exists a", "worst case", "optimal strategy", "is there a largest", "is there a smallest",
        "does there exist", "do there exist", "exactly when", "which values of", "every way", "best constant",
        "guarantee that", "how many moves", "winning strategy", "optimal play", "expected number",
        "expected value", "expected time", "how is that even", "is that even possible", "how can that be",
        "how is this possible", "how is that possible", "this proof", "this argument", "prove it", "such that no",
        "such that every", "for any n", "for every k", "must it be", "is there a polynomial",
        "is there a function", "is there a number", "does it take on average", "can you tile", "is it ever",
        "can it be shown", "argue that",
    ),
    "systems": (
        "race condition", "root cause", "memory model", "memory order", "undefined behavior",
        "undefined behaviour", "cache line", "false sharing", "split brain", "two-phase", "zero downtime",
        "under load", "out of memory", "type system", "garbage collect", "pass locally", "reverse engineer",
        "threat model", "access pattern", "only on one", "go away when", "but not locally", "no deploys",
        "how many copies", "data loss", "lose data", "losing data", "lost writes", "source of truth", "hot path",
        "consistency model", "ordering guarantee", "back pressure", "without downtime", "no downtime",
        "under concurrent", "works on my machine", "cannot reproduce", "side channel",
    ),
    "field": (
        "applicable law", "competing risk", "power analysis", "cash flow", "capital gain", "change of control",
        "intellectual property", "conflict of interest", "side effect", "lab result", "first principles",
        "double taxation", "randomized trial", "difference-in-difference", "instrumental variable",
        "event of default", "act for", "english law", "standard of care", "burden of proof", "due diligence",
        "discount rate", "tax treaty", "balance sheet", "cap table", "shareholder agreement", "drug interaction",
        "adverse event", "differential diagnosis", "confidence interval", "effect size", "selection bias",
        "boundary layer", "boundary condition", "heat transfer", "steady state", "safety factor", "loss function",
        "learning rate", "training run", "earn out", "employment law", "export control", "force majeure",
    ),
    "demand": (
        "step by step", "me through", "what breaks", "what would change", "failure mode", "edge case",
        "what assumptions", "how to check", "how do i confirm", "full plan", "what if", "and why", "whose bug",
        "what's going on", "what is going on", "facts would change", "what i risk", "show how", "show the",
        "derive all", "does that change", "in detail", "every case", "each case", "in what order",
        "what's our best", "strongest", "justify each", "be precise", "be rigorous", "cite", "level of evidence",
        "hold up", "stands up", "contradict each other", "what would you need", "how confident", "which of these",
        "second opinion", "walk through", "how to tell", "can that happen", "could that happen", "can this happen",
        "narrow it down", "narrow this down", "tell them apart", "work out", "how strong", "which order",
        "are my options", "under each", "why or why not", "what kinds of", "conflicting", "on average",
        "my position", "our position", "where would", "did it happen", "find every", "and prove", "bounded",
        "at least", "what matters", "the smallest", "the largest", "in a row", "who wins", "limiting",
        "is it always", "does it always", "best possible", "what conditions", "flaw in", "so that no",
        "can it ever", "you guarantee", "all possible", "every possible", "rule out", "under which conditions",
        "max number", "maximum number", "minimum number", "is it possible to", "find all", "what is the chance",
        "least number", "smallest number of",
    ),
    "odd": (
        "in production", "only happens", "only when", "only on", "once in", "once a", "out of nowhere",
        "for no reason", "no reason", "makes no sense", "works fine", "works locally", "goes away", "got worse",
        "gets worse", "even though", "swears", "nothing in the logs", "nobody knows", "can't reproduce",
        "not reproducible", "every few", "after a while", "eventually", "ran twice", "run twice", "charged twice",
        "my bug", "can't explain", "seemingly", "stops answering", "recovers by itself", "wrong user",
        "only the first", "only on the", "never under", "passes alone", "although the", "by itself", "no errors",
        "nothing in", "only under", "only after", "once in a",
    ),
    "basics": (
        "year old", "year-old", "difference between", "differences between", "pros and cons", "non-technical",
        "in general", "set up", "get started", "getting started", "first-year", "high school", "how to use",
        "when to use", "what is a ", "what is an ",
    ),
    "agent": (
        "root cause, fix it", "run the tests", "until the task is done", "until all tests", "across the repo",
        "whole repo", "entire codebase", "in this and fix", "open a pull request",
    ),
}  # fmt: skip

CODE = _words(
    "def class import from func fn public private static const let var return struct use template package "
    "select alter create #include async for while if @override"
)
"""What a line of a program begins with."""
COMMON = _words(
    "SQL CSV JSON API HTML CSS PDF USA UK EU US OK AM PM CEO HR AI UI UX URL XML PHP AWS PPT FAQ TV PC CV ID IT HTTP "
    "HTTPS KPI PR IP TCP UDP VBA PRD SELECT FROM WHERE AND OR NOT NULL LIMIT ORDER BY GROUP JOIN"
)
"""Abbreviations that are no trade's own."""
