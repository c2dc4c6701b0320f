"""Small texts of every kind, written for these tests, to count with a real tokenizer."""

SAMPLES = {
    "english prose": (
        "The harbour was quiet in the early morning, and the fishermen who had gone out before dawn were alre"
        "ady returning with their nets half full. Nobody spoke much; the cold had settled into their hands, a"
        "nd the price of fish had fallen again. On the pier an old woman counted crates, writing each number "
        "carefully into a blue notebook that she had carried for thirty years."
    ),
    "english chat": (
        "Hi! Can you help me write a short email to my landlord? The kitchen tap's been dripping since Tuesda"
        "y & I'd like it fixed before the 14th. Thanks :)"
    ),
    "chinese": (
        "今天早上的港口很安静，天没亮就出海的渔民已经带着半满的渔网回来了。大家都不怎么说话，寒冷渗进了他们的手，鱼的价格又跌了。码头上，一位老妇人一箱一箱地数着，把每个数字仔细写进她用了三十年的蓝色笔记本里。"
    ),
    "chinese classical": ("子曰：學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？人不知而不慍，不亦君子乎？"),
    "chinese tech": (
        "请用 Python 写一个函数，读取 config.toml 文件，并在出现错误时抛出 ValueError 异常。函数需要支持 UTF-8 编码。"
    ),
    "python": (
        "def merge(left: list[int], right: list[int]) -> list[int]:\n"
        '    """Merge two sorted lists."""\n'
        "    out, i, j = [], 0, 0\n"
        "    while i < len(left) and j < len(right):\n"
        "        if left[i] <= right[j]:\n"
        "            out.append(left[i])\n"
        "            i += 1\n"
        "        else:\n"
        "            out.append(right[j])\n"
        "            j += 1\n"
        "    return out + left[i:] + right[j:]\n"
    ),
    "rust": (
        "impl<T: Ord + Clone> Heap<T> {\n"
        "    pub fn pop(&mut self) -> Option<T> {\n"
        "        let n = self.items.len();\n"
        "        if n == 0 { return None; }\n"
        "        self.items.swap(0, n - 1);\n"
        "        let out = self.items.pop();\n"
        "        self.sift_down(0);\n"
        "        out\n"
        "    }\n"
        "}\n"
    ),
    "json compact": (
        '{"id":10482,"customer":{"name":"Ada Brown","email":"ada@example.org","vip":true},"items":[{"sku":"TX'
        '-4410","qty":2,"price":19.95},{"sku":"QN-0071","qty":1,"price":240.5}],"shipped_at":"2026-03-14T09:2'
        '6:53Z"}'
    ),
    "json pretty": (
        "{\n"
        '  "id": 10482,\n'
        '  "customer": {\n'
        '    "name": "Ada Brown",\n'
        '    "email": "ada@example.org",\n'
        '    "vip": true\n'
        "  },\n"
        '  "items": [\n'
        "    {\n"
        '      "sku": "TX-4410",\n'
        '      "qty": 2,\n'
        '      "price": 19.95\n'
        "    },\n"
        "    {\n"
        '      "sku": "QN-0071",\n'
        '      "qty": 1,\n'
        '      "price": 240.5\n'
        "    }\n"
        "  ],\n"
        '  "shipped_at": "2026-03-14T09:26:53Z"\n'
        "}"
    ),
    "json schema": (
        '{"type":"function","function":{"name":"get_weather","description":"Current weather in a city","param'
        'eters":{"type":"object","properties":{"city":{"type":"string"},"unit":{"type":"string","enum":["cels'
        'ius","fahrenheit"]}},"required":["city"]}}}'
    ),
    "numbers": (
        "7919 31676 71271 126704 197975 285084 388031 506816 641439 791900 958199 1140336 1338311 1552124 178"
        "1775 2027264 2288591 2565756 2858759 3167600 3492279 3832796 4189151 4561344 4949375 5353244 5772951"
        " 6208496 6659879 7127100 7610159 8109056 8623791 9154364 9700775 10263024 10841111 11435036 12044799"
        " 12670400 13311839 13969116 14642231 15331184 16035975 16756604 17493071 18245376 19013519 19797500 "
        "20597319 21412976 22244471 23091804 23954975 24833984 25728831 26639516 27566039"
    ),
    "hex": (
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 "
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    ),
    "base64": ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="),
    "markdown": (
        "# Release notes\n"
        "\n"
        "- **Fixed**: a stream that ended early (#412)\n"
        "- *Added*: `--json` for `keys list`\n"
        "\n"
        "| name | price |\n"
        "|---|---|\n"
        "| a | 0.28 |\n"
        "| b | 1.10 |\n"
    ),
    "html": (
        '<div class="card"><h2>Title</h2><p>Some <b>bold</b> text &amp; a <a href="https://example.org/a?b=1">link</a>.</p></div>'
    ),
    "japanese": (
        "今朝の港は静かで、夜明け前に出た漁師たちはもう網を半分ほど満たして戻ってきていた。誰もあまり話さなかった。"
    ),
    "korean": ("오늘 아침 항구는 조용했고, 새벽에 나간 어부들은 벌써 그물을 반쯤 채우고 돌아오고 있었다."),
    "russian": (
        "Утром в гавани было тихо, и рыбаки, вышедшие до рассвета, уже возвращались с наполовину полными сетями."
    ),
    "german": (
        "Am frühen Morgen war der Hafen still, und die Fischer, die vor der Dämmerung hinausgefahren waren, k"
        "ehrten mit halb gefüllten Netzen zurück."
    ),
    "french": (
        "Au petit matin, le port était calme, et les pêcheurs partis avant l'aube revenaient déjà avec leurs filets "
        "à moitié pleins."
    ),
    "greek": ("Νωρίς το πρωί το λιμάνι ήταν ήσυχο και οι ψαράδες επέστρεφαν."),
    "arabic": ("كان الميناء هادئا في الصباح الباكر، وكان الصيادون يعودون بشباك نصف ممتلئة."),
    "hebrew": ("הנמל היה שקט בשעת בוקר מוקדמת, והדייגים כבר חזרו."),
    "hindi": ("सुबह-सुबह बंदरगाह शांत था और मछुआरे आधे भरे जाल लेकर लौट रहे थे।"),
    "thai": ("เช้าวันนี้ท่าเรือเงียบสงบ และชาวประมงกำลังกลับมาพร้อมอวนที่เต็มครึ่งหนึ่ง"),
    "emoji": ("👍🎉😀🚀🔥💯 🙏🏽👩\u200d💻🏳️\u200d🌈"),
    "typographic": ("“Well,” she said — “that’s… odd.” – 20 °C ≈ 68 °F → fine ✓"),
    "caps": ("WARNING: DO NOT REMOVE THE COVER WHILE THE MACHINE IS RUNNING. NO USER SERVICEABLE PARTS INSIDE."),
    "shell log": (
        "2026-03-14 09:26:53,118 INFO  [worker-3] GET /v1/models 200 12ms ip=10.0.0.7\n"
        "2026-03-14 09:26:53,402 WARN  [worker-1] retry 2/3 after 0.50s\n"
    ),
    "spaces": (
        "if x:\n"
        "y\n"
        "    y\n"
        "        y\n"
        "            y\n"
        "                y\n"
        "                    y\n"
        "                        y\n"
        "                            y\n"
        "                                y\n"
        "                                    y\n"
        "                                        y\n"
        "                                            y"
    ),
    "math": ("∀x∈ℝ: ∑_{i=1}^{n} i² = n(n+1)(2n+1)/6 ⇒ ∫₀¹ x dx = ½"),
}
