"""RTL reduced to its skeleton: modules, declarations, generate constructs and instances, in the words of pyverilog.

What the module tree does not need is left out line by line: procedures, functions, assignments, parameters, ranges,
conditions and what is connected to ports. pyverilog knows less of Verilog than designs use, and this is its share.
"""

import re

_TOKEN = re.compile(r'\n|\\\S+|[A-Za-z_][\w$]*|\$[\w$]+|""|[^\s]')
_SKIPPED = """
    assign defparam localparam parameter specparam real realtime time event supply0 supply1 import export typedef
    assert assume cover timeunit timeprecision pullup pulldown and nand or nor xor xnor not buf bufif0 bufif1 notif0
    notif1 tran tranif0 tranif1 nmos pmos cmos"""
_DECLARED = "input output inout wire reg tri tri0 tri1 wand wor logic integer genvar bit int"
_TO_SEMICOLON, _DECLARATIONS = frozenset(_SKIPPED.split()), frozenset(_DECLARED.split())
_TO_WORD = {
    "function": "endfunction",
    "task": "endtask",
    "specify": "endspecify",
    "primitive": "endprimitive",
    "table": "endtable",
}
_PROCEDURES = frozenset(("always", "always_ff", "always_comb", "always_latch", "initial", "final"))
_PLAIN = {"tri0": "wire", "tri1": "wire", "wand": "wire", "wor": "wire", "bit": "reg", "int": "integer"}
_DEEPER = {"begin": "end", "case": "endcase", "casex": "endcase", "casez": "endcase", "fork": "join"}
_REGION = 100  # items in a generate region: pyverilog copies what it has of one with every item
_OPEN, _CLOSE = "([{", ")]}"


class NoEnd(Exception):
    """A module without endmodule; `line` is where it begins."""

    def __init__(self, module: str, line: int) -> None:
        super().__init__(f'module "{module}" has no endmodule')
        self.line = line


def skeleton(text: str) -> str:
    """The skeleton of a text without comments and directives; what stays keeps its line.

    Raises:
        NoEnd: the text ends within a module.
    """
    return _Skeleton(text).run()


class _Skeleton:
    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        self.lines: list[int] = []
        line = 1
        for found in _TOKEN.finditer(text):
            if found[0] == "\n":
                line += 1
            else:
                self.words.append(found[0])
                self.lines.append(line)
        self.words += ["", ""]  # so that looking ahead needs no care
        self.lines += [line, line]
        self.end = len(self.words) - 2
        self.at = 0
        self.depth = 0  # of blocks
        self.out: list[str] = []
        self.line = 1

    # ---- output

    def say(self, *words: str, at: int | None = None) -> None:
        """Words on the line of the token `at`."""
        line = self.lines[self.at if at is None else at]
        self.out.append("\n" * (line - self.line) + " ".join(words) + " ")
        self.line = max(self.line, line)

    # ---- passing over

    def after(self, at: int) -> int:
        """Behind the closing bracket of the bracket at `at`."""
        depth = 0
        for i in range(at, self.end):
            word = self.words[i]
            depth += (word in _OPEN) - (word in _CLOSE)
            if depth == 0:
                return i + 1
        return self.end

    def after_word(self, at: int, *words: str) -> int:
        """Behind the next of the words outside of brackets."""
        while at < self.end and self.words[at] not in words:
            at = self.after(at) if self.words[at] in _OPEN else at + 1
        return min(at + 1, self.end)

    def after_statement(self, at: int) -> int:
        """Behind the procedural statement that begins at `at`."""
        pending = 1  # statements still to pass
        while pending and at < self.end:
            word = self.words[at]
            if word in ("if", "for", "while", "repeat", "wait", "foreach", "@", "#") or (word == "else"):
                at += 1
                while self.words[at] in ("(", "#"):
                    at = self.after(at) if self.words[at] == "(" else at + 1
                if word in ("@", "#") and self.words[at - 1] in ("@", "#"):
                    at += 1  # @name, @*, #5
            elif word in ("forever", "unique", "priority"):
                at += 1
            else:
                at = self.after_block(at) if word in _DEEPER else self.after_word(at, ";")
                pending -= 1
                if self.words[at] == "else":
                    pending += 1
        return at

    def after_block(self, at: int) -> int:
        """Behind a begin, case or fork with all inside, and its label."""
        depth = 0
        while at < self.end:
            word = self.words[at]
            depth += (word in _DEEPER) - (word in ("end", "endcase", "join", "join_any", "join_none"))
            at += 1
            if depth == 0:
                break
        return at + 2 if self.words[at] == ":" else at

    # ---- the text

    def run(self) -> str:
        """Everything."""
        while self.at < self.end:
            word = self.words[self.at]
            if word in ("module", "macromodule"):
                self.module()
            elif word in _TO_WORD:
                self.at = self.after_word(self.at, _TO_WORD[word])
            elif word == ";" or word in _TO_SEMICOLON:
                self.at = self.after_word(self.at, ";")
            else:  # pyverilog says what it thinks of it
                self.say(word)
                self.at += 1
        return "".join(self.out) + "\n"

    def module(self) -> None:
        """A module: its header without ranges, and its items within one generate region."""
        name, line = self.words[self.at + 1], self.lines[self.at]
        self.say("module", name)
        self.at += 2
        while self.at < self.end and self.words[self.at] not in ("(", ";"):
            at = self.at + 1 if self.words[self.at] == "#" else self.at
            self.at = self.after(at) if self.words[at] == "(" else self.after_word(at, ";") if at == self.at else at
        if self.words[self.at] == "(":
            end = self.after(self.at)
            self.declaration(self.at, end)
            self.at = end
        self.say("; generate")
        self.at += self.words[self.at] == ";"
        self.items()
        if self.at >= self.end:
            raise NoEnd(name, line)
        self.say("endgenerate endmodule")
        self.at += 1

    def items(self) -> None:
        """The items up to endmodule."""
        count = 0
        cases: list[list[int]] = []  # of each open case: blocks open within, and whether its label was read
        while self.at < self.end and self.words[self.at] != "endmodule":
            word = self.words[self.at]
            inside = bool(cases) and cases[-1][0] == 0
            if inside and not cases[-1][1] and word not in ("endcase", "else"):
                default = word == "default" and self.words[self.at + 1] != ":"
                self.say("if (1)")
                self.at = self.at + 1 if default else self.after_word(self.at, ":")
                cases[-1][1] = 1
                continue
            self.item(word, cases)
            done = word not in ("if", "for", "else", "begin", "case", "casex", "casez", "generate", "endgenerate")
            if done and cases and cases[-1][0] == 0:
                cases[-1][1] = 0
            if done and not cases and self.depth == 0 and self.words[self.at] != "else":
                count += 1
                if count % _REGION == 0:
                    self.say("endgenerate generate", at=self.at - 1)

    def item(self, word: str, cases: list[list[int]]) -> None:
        """One item, or the head of one that holds others."""
        if word in _PROCEDURES:
            self.at = self.after_statement(self.at + 1)
            self.nothing()
        elif word in _TO_WORD:
            self.at = self.after_word(self.at, _TO_WORD[word])
            self.nothing()
        elif word in _TO_SEMICOLON:
            self.at = self.after_word(self.at, ";")
            self.nothing()
        elif word in ("generate", "endgenerate", ";"):
            self.at += 1
        elif word in ("if", "for"):
            self.say("if (1)" if word == "if" else "for (i = 0; i < 1; i = i + 1)")
            self.at = self.after(self.at + 1)
        elif word in ("case", "casex", "casez"):
            self.say("if (1) begin")
            self.at = self.after(self.at + 1)
            cases.append([0, 0])
        elif word == "endcase":
            self.say("end")
            self.at += 1
            if cases:
                cases.pop()
        elif word in ("begin", "end"):
            self.block(word, cases)
        elif word in _DECLARATIONS:
            end = self.after_word(self.at, ";")
            self.declaration(self.at, end)
            self.at = end
        elif word == "else":
            self.say(word)
            self.at += 1
        else:
            self.instances()

    def nothing(self) -> None:
        """An item that declares nothing: a branch of a generate construct must not be empty."""
        self.say("genvar i;", at=self.at - 1)

    def block(self, word: str, cases: list[list[int]]) -> None:
        """The begin or end of a generate block, and its label."""
        has_label = self.words[self.at + 1] == ":"
        bare = word == "begin" and self.at and self.words[self.at - 1] not in (")", "else", ":", "default")
        self.say(
            "if (1) begin" if bare else word, *([":", self.words[self.at + 2]] if has_label and word == "begin" else [])
        )
        self.at += 3 if has_label else 1
        step = 1 if word == "begin" else -1
        self.depth += step
        if cases:
            cases[-1][0] += step

    def declaration(self, begin: int, end: int) -> None:
        """Names and their kind: ranges and first values are left out."""
        at = begin
        while at < end:
            word = self.words[at]
            if word == "[":
                at = self.after(at)
                continue
            if word == "=":
                at += 1
                while at < end - 1 and self.words[at] not in (",", ";"):
                    at = self.after(at) if self.words[at] in _OPEN else at + 1
                continue
            self.say(_PLAIN.get(word, word), at=at)
            at += 1

    def instances(self) -> None:
        """Instances of one module: names and array marks, without parameters and connections."""
        end, at = self.after_word(self.at, ";"), self.at
        if "(" not in self.words[at:end]:  # a declaration of a type that pyverilog does not know
            self.at = end
            self.nothing()
            return
        while at < end:
            word = self.words[at]
            if word == "#":
                at += 1
                at = self.after(at) if self.words[at] == "(" else at + 1
            elif word in "([":
                self.say("()" if word == "(" else "[0:0]", at=at)
                at = self.after(at)
            else:
                self.say(word, at=at)
                at += 1
        self.at = end
