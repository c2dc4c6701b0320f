"""The words by which core.complexity sees what is asked, in English and in Chinese, by what they show.

English words are in small letters and without a plural's s; several words are a phrase. Chinese has no spaces: its
words are found wherever they stand, and some are patterns.
"""

import re
from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH: Mapping[str, frozenset[str]] = {
    "chat": _words("bye cheers congrats goodbye great haha hello hey hi lol morning perfect thank thanks thx"),
    "terse": _words("briefly tldr"),
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
        "add agenda app article blog bot brainstorm budget build campaign checklist component compose create "
        "critique curriculum dashboard debug design develop dialogue dockerfile draft essay exercise feedback fix "
        "function game generate guide haiku ideas implement itinerary lesson letter make menu modify newsletter "
        "organize outline page parser persona pitch plan poem port post prepare presentation program proposal query "
        "quiz recipe recommend refactor regex report resume review rewrite roadmap routine schedule scraper script "
        "set setup song speech story structure suggest template tips turn tutorial unittest update website workout "
        "write"
    ),
    "think": _words(
        "advantage analyse analyze argue argument assess best better choose compare comparison cons convince "
        "describe diagnose difference disadvantage discuss evaluate example explain improve interpret negotiate "
        "opinion optimize pros reason recommend reflect should troubleshoot understand versus vs why would wrong"
    ),
    "proof": _words(
        "adversarial adversarially amortized argue arrange asymptotic asymptotically axiom bijection bishop bounds "
        "characterize contradiction converge corollary correctness counterexample covering decidable derivation "
        "derive disprove generalise generalize iff indistinguishable injective invariant lagrangian-point lemma "
        "monochromatic np-complete np-hard optimality paradox proof provably prove proven refute rigorous rigorously "
        "rook soundness surjective theorem tightness undecidable wlog"
    ),
    "mathematics": _words(
        "abelian amortised arg asymptotics automata automaton balance banach bayesian bernoulli bijective "
        "binary-search binomial bipartite bisector bloom bound cardinality chord chromatic circumcircle clique cnf "
        "cohomology coin colored coloring coloured colouring combinatorial combinatoric compact concave conditional "
        "congruence consecutive continuous contour convergent convex copula correlated countable counterfeit coupon "
        "covariance curvature cyclic density determinant diagonal dice die differentiable diophantine distinct "
        "divergent divisible divisor domino dynamic-programming eigenvalue eigenvector ellipse entropy envelopes "
        "ergodic estimator expectation exponential factorial fenwick fibonacci finite fourier galois gambler gamma "
        "gaussian generating geodesic geometric gradient hat hermitian hessian hilbert hitting holomorphic "
        "homomorphism homotopy hyperbola hypergraph inequality inf infimum infinite infinitely infinity integer "
        "integral integrate intermediate intersection involution irrational isomorphic isomorphism iterative "
        "knapsack knight lagrangian laplace lattice lebesgue liar likelihood lim lipschitz logarithm manifold markov "
        "martingale matrice matrix matroid measurable memoryless metric min-cut mle modular modulo norm nullspace "
        "ode operator oracle orthogonal parabola parity pde permutation perpendicular planar player poisson polygon "
        "polynomial polynomial-time posterior prime prisoner probability puzzle quadratic quaternion radius rank "
        "recurrence reduction replacement residue ruin sat secretary segment-tree shortest sliding spanning spectral "
        "sphere square-root stationary stochastic stone subgroup summand summation sup supremum tangent tensor "
        "tetrahedron tile topology totient tournament transcendental triangle trie truth-teller turing unbiased "
        "unitary urn variance vertex vertice weighing zeta"
    ),
    "systems": _words(
        "-o2 -o3 2pc aba abi adc aliasing allocator allreduce anycast ast at-least-once at-most-once atomic attack "
        "attestation auditability autoscaler autoscaling b-tree backfill backpressure barrier bf16 bgp binlog "
        "bit-exact bit-flip bitstream bloat bootloader bottleneck bufferbloat bytecode cache-line cap-theorem cas "
        "cdc cgo checksum cilium ciphertext circom clang cnn codec coherence compaction comparator compiler "
        "concurrency concurrent concurrently condvar congestion consensus constant-time contention coroutine corrupt "
        "corrupted corruption crc crdt cross-compile cryptographic ct-log cuda cutover dac deadlock deadlocked "
        "deadlocking decltype decoder decompose decrypt dedup denormal deserialization dfa diffusion disassemble "
        "distributed diverge diverges dma dnssec double-checked double-spend downtime dual-write ebpf ecc ecdsa elf "
        "enclave encryption endian endianness epoll event-sourcing eventual eventually evict eviction exactly "
        "exactly-once exploit failover fencing ffi firmware fixed-point flaky flamegraph floating-point forge "
        "forgery fp16 fp32 fp8 fpga fragmentation fsync garbage gcc globally goroutine gossip gpu groth16 gtid "
        "handshake hang hangs heap heisenbug hmac hot-path hypervisor idempotence idempotency idempotent inference "
        "interleaving intermittent intermittently interrupt io_uring isr jit jmm kafka-streams keepalive kernel "
        "kv-cache latencie latency leak leaking lease lexer lifetime linearizability linearizable linker livelock "
        "livelocked lock lock-free lockfree locking lockstep lookup-phase lora lsm malicious memory_order "
        "metastability microservice migration mitm mmap monolith mpmc mtls mtu multi-region multi-tenant "
        "multi-threaded mutex mutexe mvcc nagle nccl netty nfa nonblocking nonce nondeterministic numa o0 o2 o3 "
        "off-by-one offset once-only oom opcode optimizer out-of-order outbox overflow p50 p95 p99 "
        "p99.9 p999 padding page-cache page-fault parity-check partition-tolerant paxos petabyte pki planner pod "
        "preemption priority-inversion privilege profile profiler protocol qps query-plan queueing queuing quorum "
        "race raft rce rcu rebalance reentrant register-allocation relocations reorder reordering repeatable replay "
        "replayable replica replicated replication retransmit rlhf rowhammer rps rsa rss rtl rtos safepoint saga "
        "sandbox scanner scheduler segfault semaphore serializability serializable sfinae shard sharded sharding "
        "side-channel simd snapshot snark spectre spike spinlock split-brain spsc ssa stall stalled "
        "strangler strict-aliasing syscall tb template-instantiation template-metaprogramming tensor-parallel "
        "terabyte thrash thread thread-safe threat throughput tlb tokio tombstone tps two-phase-commit ub unaligned "
        "undefined underflow unsafe vacuum varhandle vector-clock vectorize verilog volatile vulnerability wait-free "
        "wal warmup watermark wraparound write-ahead xor zab zero-downtime zero-knowledge zgc zk"
    ),
    "field": _words(
        "acceleration accrual acquire acquisition adiabatic aerofoil agonist airfoil amortization amplifier anemia "
        "anova antagonist antibiotic anticoagulant antitrust arbitrage arbitration arrhythmia attention attrition "
        "auction auditor backpropagation bankruptcy basel bending bias bilirubin biopsy black-scholes boson breach "
        "cap-table capacitor carnot catalyst causal censoring chirality circuit ckd clause clawback clustered cohort "
        "collider comorbidity confounder confounding consideration consolidation contingent contraindication "
        "convertible convexity copyright cortisol counterfactual covariate covariates covenant creatinine creditor "
        "crispr ct custody cvar damages damping dcf defendant deferred delaware delta-v derivative differential "
        "diffraction dilution dismissal dose drawdown duration ebitda ecg econometric egfr elasticity "
        "electromagnetic elliptical endogeneity enforceability enforceable enthalpy entropy enzyme equilibria "
        "equilibrium equity estimand etiology export-control externality fatigue fermion fibrillation fiduciary "
        "fiscal flux friction gaap gdpr genome goodwill gpl gravitational greek hamiltonian hazard hedge hedging "
        "hemoglobin hepatic heteroskedastic heteroskedasticity hypertension hyponatremia hypotension icu "
        "identification ifrs impairment impedance imputation incentive indemnity inductor inertia infarction "
        "inflation-targeting infringement inhibitor injunction insolvency insolvent insulin interference irr isomer "
        "isothermal jurisdiction kalman kelly kinetics lactate laminar lawsuit lbo lesion lgd liability liable libor "
        "linear-programming liquidation longitudinal macroeconomic mcmc mechanism-design mediator metastasis "
        "mezzanine milp missing-data mixed-effects mmhg mmol mnar moic momentum monetary mri multilevel nash "
        "negligence nmr non-compete noncompete npv nyquist orbit orbital oscillation overfitting p-value "
        "pathophysiology patient payout pcr pde peeking pendulum perturbation pharmacokinetic photon phylogeny pid "
        "plaintiff plasmid platelet polymer potassium precedent pregnancy probate prognosis propensity quantization "
        "quantum randomised randomized rdd readmission recognised recognition recognized redox regression regulator "
        "relativistic relativity renal resistor risk-neutral satellite securitisation securitization seizure "
        "semiconductor sepsis sequential severance shareholder sharpe significance sofr solver spectroscopy "
        "spillover ssri statute steroid stiffness stoichiometry strain stroke subsidiary subsidy survival symptom "
        "tachycardia tariff tax taxation termination thermodynamic thiazide thyroid titrate titration torque tort "
        "tranche transfer-pricing transformer treaty trimester truss trustee tumor tumour turbulence underpowered "
        "uplift valuation var velocity vesting viscosity vol volatility wacc warfarin waterfall wavefunction "
        "wavelength works-council"
    ),
    "demand": _words(
        "alternative argument assumption breached breaks broken cause comprehensive compute confirm distribution "
        "exactly extend failure formally implication in-depth justification justify likely pitfall precisely "
        "redesign restructure reverse rollback scenario sensitivity sketch strategy thorough thoroughly trade-off "
        "tradeoff verify whose"
    ),
    "agent": _words("agentic autonomous autonomously"),
}

PHRASES: Mapping[str, tuple[str, ...]] = {
    "also": (
        " and add", " and list", " and explain", " and flag", " and give", " and tell", " and handle", " and point",
        " then ", " and suggest", " and say", " and why", " and adapt", " and write", " and make", "as well as",
        " and describe", "type hint", "with owners", " and its", " and compare", " and discuss", "convert this c",
        "convert this f", "hooks",
    ),
    "fact": (
        "stand for", "another term", "another name", "stands for", "name of", "who invented", "who wrote",
        "who created", "who came up", "who discovered", "who proved", "what year", "which year", "meaning of",
        "full form", "word for", "default port", "how do you pronounce", "how do you spell", "mean?", "mean in",
        "yes or no", "latex for", "come out", "short for", "abbreviation",
    ),
    "terse": (
        "one word", "one sentence", "two sentences", "one line", "short line", "a sentence", "yes or no",
        "true or false", "just the", "only output", "nothing else", "no explanation", "don't explain", "exactly one",
    ),
    "change": (
        "phone number", "email address", "this sentence", "these words", "the word ", "this word", "this phrase",
        "this tweet", "this review", "this date", "these numbers", "this number", "this string", "past tense",
        "what language", "which language", "how many words", "following sentence", "following words", "is correct",
        "grammatically", "passive voice", "active voice", "first letter", "line breaks", "in quotes", "as a list",
        "comma separated", "comma-separated", "to celsius", "in english", "into english", "to english", "in french",
        "in spanish", "in german", "in chinese", "into chinese", "in japanese", "more formal", "more polite",
        "another word", "other word", "how do you say", "how do i say", "fix the grammar", "to uppercase",
        "remove dup", "words for", "the following categories",
    ),
    "lookup": (
        "how many", "how much", "how old", "what does", "what is", "what's", "does it say",
    ),
    "proof": (
        "how many ways", "max number", "minimum number", "maximum number", "is it guaranteed", "guaranteed by",
        "probability that", "the fewest", "no two", "no couple", "what is the chance", "always win", "can always",
        "is there a way to", "is it possible to", "show that", "closed form", "for all n", "find all",
        "if and only if", "true bound", "lower bound", "upper bound", "for every n", "for which n",
        "is my reasoning", "where precisely", "what went wrong in", "is it true that", "necessary and sufficient",
        "determine all", "exists a", "worst case", "optimal strategy", "big-o", "time complexity",
    ),
    "systems": (
        "race condition", "root cause", "memory model", "memory order", "undefined behavior", "undefined behaviour",
        "cache line", "false sharing", "split brain", "two-phase", "zero downtime", "under load", "in production",
        "out of memory", "type system", "garbage collect", "not reproduc", "can't reproduce", "only happens",
        "once in a", "works locally", "pass locally", "reverse engineer", "threat model", "access pattern",
    ),
    "field": (
        "applicable law", "competing risk", "power analysis", "cash flow", "capital gain", "change of control",
        "intellectual property", "conflict of interest", "side effect", "lab result", "first principles",
        "double taxation", "randomized trial", "difference-in-difference", "instrumental variable",
    ),
    "demand": (
        "step by step", "me through", "what breaks", "what would change", "failure mode", "edge case",
        "what assumptions", "how to check", "how do i confirm", "full plan", "what if", "what about", "and why",
        "whose bug", "what's going on", "what is going on", "the right", "facts would change", "what i risk",
        "show how", "show the", "derive all", "does that change", "in detail",
    ),
    "agent": (
        "root cause, fix it", "run the tests", "until the task is done", "until all tests", "across the repo",
        "whole repo", "entire codebase", "in this and fix", "open a pull request",
    ),
}  # fmt: skip

_CHINESE: Mapping[str, str] = {
    "limit": "如果|假设|每次|任意|随机|至少|恰好|不能|满足|条件|允许|使得",
    "also": (
        "并指出|并解释|并说明|并给|并列|并加|并附|再拟|再写|再给|再列|再说|再分析|然后|最后|同时|还要|"
        "分成|写成|分议题|改写成|各举|各写"
    ),
    "fact": (
        "全称|叫什么|什么意思|哪一年|哪年|谁发明|谁提出|是谁|怎么读|怎么念|缩写|英文怎么说|中文怎么说|"
        "怎么拼|读音"
    ),
    "chat": (
        "你好|您好|谢谢|在吗|早上好|晚安|再见|辛苦了|哈哈|没别的问题|好的"
    ),
    "terse": (
        "一句话|一个词|两个字|一个字|只回答|只输出|只能输出|就行|就好|不要解释|不用解释|简单说|简短|直接给|"
        "直接回答|以下标签|列名字"
    ),
    "change": (
        "这句|这个词|这个字|这条|成语|几个字|多少字|关键词|哪种语言|什么语言|去掉|删掉|删除|合并成|补全|"
        "填空|纠正|用逗号|保留两位小数|四舍五入|首字母|拼写|标题|语法错误|从大到小|从小到大|近义|"
        "列出.{0,8}(?:人名|地名|国家|日期|名字|公司)|"
        "找出.{0,8}(?:人名|地名|日期|数字|错字)|大小写|繁体|简体|罗马数字|翻译|译成|译为|错别字|"
        "改错|病句|标点|润色|改得|改成|换成|转成|转换|提取|抽取|排序|去重|归类|分类|好评|差评|情感|"
        "近义词|反义词|同义词|缩写|大写|小写|正式一点|礼貌|口语化|一句话总结|概括|总结成|词性|拼音|造句|"
        "英文怎么说|用中文.{0,8}怎么说|怎么说|加上注释|取名|取个名|起名|起个名"
    ),
    "lookup": (
        "有多高|多高|多远|多大年|多长|多重|哪位|作者|朝代|星期几|周几|几月|哪天|是什么意思|什么意思|"
        "是什么|叫什么|多少|哪个|哪一年|哪年|哪里|几个|几点|几小时|几号|几天|谁|怎么读|怎么念|什么时候|"
        "首都|等于|是哪|有没有|是不是|怎么把|怎么冻结|快捷键|属于"
    ),
    "make": (
        "安排|教我|步骤|写一|写个|写份|写篇|写段|写出|帮我写|做一|做个|设计|实现|生成|起草|拟|制定|规划|策划|"
        "计划|方案|教案|大纲|文案|脚本|代码|组件|函数|重构|改写|仿写|模仿|演讲|文章|作文|小说|故事|诗|"
        "邮件|报告|简历|自评|清单|攻略|食谱|行程|表格|整理|出三道|出几道|搭建|部署|配置|优化|完善"
    ),
    "think": (
        "解释|比较(?!自然|好|合适|多|少|常)|对比|区别|分析|评价|为什么|怎么办|怎么弄|怎么选|如何|"
        "优缺点|利弊|建议|原因|看法|观点|举例|例子|讲讲|说说|介绍|点评|适合|推荐|怎么做|原理|理解|辩|"
        "怎么写|怎么算|思路"
    ),
    "proof": (
        "(?<!在职)(?<!收入)(?<!离职)(?<!工作)(?<!居住)证明(?!信|书|文件|材料|人|单|格式|模板)|"
        "求证|推导|求所有|反例|充要|充分必要|取等|上界|下界|最优性|严格|归纳|反证|必胜|归约|可判定|"
        "收敛性|正确性|不动点|能不能保证|最少.{0,8}保证|推广到|任意.{0,12}都|求极限|求通项|多少种|"
        "必定|先手|后手|谁先|称几次|最坏情况|最少扔|最少要|最多能|至少需要几|年期望|策略|期望.{0,4}次|"
        "期望是|说真话|说谎|成不成立|是否成立|当且仅当|恰有|无穷多|唯一性|存在性"
    ),
    "mathematics": (
        "有向图|无向图|必经|石子|棋子|正方形|圆周|球面|四面体|多项式|有理数|无理数|循环节|约数|最大公约|"
        "完全平方|数论|染色|天平|小球|囚犯|红帽|真话|方程|不等式|最小值|最大值|极值|概率|期望|积分|导数|"
        "级数|数列|矩阵|特征值|行列式|素数|素因数|质数|整数|同余|群|环论|拓扑|随机变量|分布|方差|正态|"
        "马尔可夫|鞅|凸|梯度|有界|变差|收敛|通项|可逆|求形状|线性|三角形|圆环|半径|曲线|渐近|无穷|切线|"
        "棋盘|抽取|硬币|骰子|有限域|每条边|路径|第k|最短路|最大流|动态规划|自动机|词法|语法分析|向量|"
        "几何|椭圆|双曲线|圆锥|组合数|排列|图论|树形|复杂度|递推|极限|实根|正整数|周期"
    ),
    "systems": (
        "自旋锁|断点续传|离线|冲突|重放|加密|去中心|校验|签名|密钥|多租户|权限系统|寄存器|线性扫描|图着色|"
        "溢出|毫秒|微秒|滤波|非线性|噪声|过拟合|梯度|损失|不收敛|显存|推理服务|异构|固件|总线|FPGA|"
        "索引失效|慢查询|执行计划|微服务.{0,10}一致|对账|最终一致|消息堆积|背压|异地|多活|秒杀|死锁|"
        "竞态|竞争条件|无锁|原子|内存序|内存模型|内存泄漏|泄漏|一致性|线性一致|可串行化|幂等|分布式|共识|"
        "选主|脑裂|限流|熔断|高并发|并发|吞吐|延迟|停顿|卡顿|抖动|压测|偶尔|偶发|必现|乱序|重复消费|"
        "超卖|双写|切流|回滚|灰度|不停机|停机|分库|分表|副本|快照|隔离级别|提案者|垃圾回收|编译器|"
        "未定义行为|缓存行|汇编|内核|协程|调度|容错|崩溃|宕机|丢数据|丢消息|丢了|不丢|恰好一次|主从|"
        "半同步|偏移量|跨库|事务|撮合|热点|雪崩|穿透|连接池|内存|线程|互斥|锁|零知识|侧信道|逆向|协议|"
        "漏洞|攻击|伪造|跳表|峰值"
    ),
    "field": (
        "三体|拉格朗日|证券化|出表|会计|准则|患者|低钠|抽搐|心电|肿瘤|激素|感染|妊娠|血栓|抗凝|肌酐|"
        "卫星|轨道|引力|碰撞|动能|势能|波动|传热|热传导|流体|应力|应变|悬臂|资本公积|注册资本|股权|转增|"
        "随机分|缺失|协变量|因素分析|遗嘱|彩礼|劳动仲裁|社保|工伤|竞争对手|反垄断|跨境|外汇|信托|可转债|"
        "对赌|回购|滴定|催化|手性|酶|基因|受体|抵押|债权|债务|诉讼|仲裁|违约|合同效力|撤销|连带|担保|"
        "破产|离婚|继承|竞业|侵权|管辖|司法解释|增值税|个税|税务|关联交易|折现|净现值|内部收益率|现金流|"
        "应收|资本化|毛利|估值|对冲|久期|波动率|期权|套利|合并报表|商誉|审计|尽调|出资|股东|公司法|"
        "合同法|民法|刑法|举证|法院|判决|专利|知识产权|劳动法|赔偿|因果|混杂|倾向得分|工具变量|双重差分|"
        "内生性|生存分析|显著性|样本量|回归|置信|贝叶斯|鉴别诊断|禁忌|肾功能|肝功能|用药|剂量|病理|并发症|"
        "动量|角动量|转动惯量|纯滚动|支持力|振动|电磁|磁场|电场|热力学|熵|量子|薛定谔|微扰|牛顿|受力|"
        "质点|弹性|绳子|角速度|加速度|滑轮|斜面|弹簧|电荷|电路|折射|干涉|衍射|相对论|摩擦|光滑|粘性|"
        "传递函数|稳定性|化学平衡|反应机理|博弈|纳什|拍卖|机制设计|整数规划|线性化|二阶锥|机会约束|对偶|"
        "启发式|建模|梯度消失|注意力|量化"
    ),
    "demand": (
        "代价|取舍|权衡|分情况|依据|假设|如何验证|怎么验证|怎么判断|怎么检测|怎么减少|怎么保证|怎么构造|"
        "逐条|一条一条|互相印证|印证|说明理由|给出理由|并说明|说明为|说明怎么|什么条件|最弱|为什么不|"
        "还有没有|边界|后果|怎么定位|怎么改|怎么处理|推广|分别|反过来|如果再|如果把|再问|还成|结果怎么变|"
        "深入|详细|完整|伪代码|具体的|误差|几种可能|两种方法|放弃了|充分|会不会|能不能"
    ),
    "agent": (
        "自主|自动完成整个|整个仓库|整个项目里"
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

Words = Mapping[str, list[tuple[str, str, str | re.Pattern[str]]]]


def _by_sign() -> Words:
    """Of every sign that Chinese words begin with: the second sign, the kind, and the word or a pattern of it."""
    found: dict[str, list[tuple[str, str, str | re.Pattern[str]]]] = {}
    for kind, words in _CHINESE.items():
        for word in dict.fromkeys(re.split(r"\|(?![^(]*\))", words)):
            plain = re.sub(r"\(\?<!.*?\)", "", word)
            known = re.compile(word) if re.search(r"[.(?\[]", word) else word
            found.setdefault(plain[0], []).append((plain[:2][-1], kind, known))
    return found


CHINESE = _by_sign()
