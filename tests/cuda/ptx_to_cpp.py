#!/usr/bin/env python3
"""Translates a PTX module to C++ that includes execute.h: one function for each kernel, which is one thread.

    ptx_to_cpp.py < module.ptx > module.cpp

Something unknown ends it with status 3 and one line on standard error. The instructions are in ptx_instructions.py, ptx_matrix.py and ptx_async.py.
"""
import re
import sys

from ptx_async import Async
from ptx_instructions import SINT, UINT, WIDTH, Instructions, Unknown, split_commas
from ptx_matrix import Matrices

SPECIAL = {"%laneid": "t.lane", "%warpid": "t.warp", "WARP_SZ": "32", "%clock": "0", "%clock64": "0", "%globaltimer": "0",
           "%lanemask_eq": "(1u << t.lane)", "%lanemask_lt": "((1u << t.lane) - 1)", "%lanemask_le": "((2u << t.lane) - 1)",
           "%lanemask_gt": "~((2u << t.lane) - 1)", "%lanemask_ge": "~((1u << t.lane) - 1)",
           "%cluster_ctarank": "0", "%nsmid": "1", "%smid": "0"}
for i, axis in enumerate("xyz"):
    for name in ("tid", "ntid", "ctaid", "nctaid"):
        SPECIAL[f"%{name}.{axis}"] = f"t.{name}[{i}]"
    SPECIAL[f"%cluster_ctaid.{axis}"] = "0"
    SPECIAL[f"%cluster_nctaid.{axis}"] = "1"
    SPECIAL[f"%clusterid.{axis}"] = f"t.ctaid[{i}]"
    SPECIAL[f"%nclusterid.{axis}"] = f"t.nctaid[{i}]"


class Kernel(Instructions, Matrices, Async):
    def __init__(self, name, params, body, module):
        self.name, self.module = name, module
        self.params = params            # [(name, size)]
        self.lines = []
        self.scopes = [{}]              # names of registers -> (C name, width)
        self.declared = {}              # C name -> width
        self.vectors = {}               # "%r" prefix ranges: prefix -> width
        self.locals = {}                # name -> offset
        self.local_size = 0
        self.shared = {}                # name -> offset
        self.fibers = False
        self.count = 0
        self.labels = [{}]
        self.body(body)

    # Names

    def declare(self, name, width):
        c = "r_" + re.sub(r"[^A-Za-z0-9_]", "_", name)
        if len(self.scopes) > 1:
            self.count += 1
            c += f"_s{self.count}"
        self.scopes[-1][name] = (c, width)
        self.declared[c] = width

    def register(self, name):
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        m = re.fullmatch(r"(%[A-Za-z_]+)(\d+)", name)
        if m and m.group(1) in self.vectors:
            c = "r_" + name[1:]
            width = self.vectors[m.group(1)]
            self.declared[c] = width
            return c, width
        return None

    def label(self, name):
        for scope in reversed(self.labels):
            if name in scope:
                return scope[name]
        return "L_" + re.sub(r"[^A-Za-z0-9_]", "_", name)

    # Operands

    def bits(self, operand, width):
        """The operand's raw bits, as an unsigned number of `width` bits."""
        operand = operand.strip()
        if operand.startswith("!"):
            return f"(!{self.bits(operand[1:], width)})"
        found = self.register(operand)
        if found:
            c, has = found
            return c if has == width else f"({UINT[width]}){c}"
        if m := re.fullmatch(r"0[fF]([0-9A-Fa-f]{8})", operand):
            return f"0x{m.group(1)}u"
        if m := re.fullmatch(r"0[dD]([0-9A-Fa-f]{16})", operand):
            return f"0x{m.group(1)}ull"
        if m := re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)U?", operand):
            return f"({UINT[width]})({operand.rstrip('U')}ll)" if len(operand) < 19 else f"({UINT[width]})({operand.rstrip('U')}ull)"
        if operand in SPECIAL:
            return f"({UINT[width]})({SPECIAL[operand]})"
        if operand in self.shared:
            return f"({UINT[width]})({self.shared[operand]})"
        if operand in self.module.shared:
            return f"({UINT[width]})({self.module.shared[operand]})"
        if operand in self.locals:
            return f"({UINT[width]})((uint64_t)t.local + {self.locals[operand]})"
        for at, (name, _) in enumerate(self.params):
            if operand == name:
                return f"({UINT[width]})((uint64_t)t.params[{at}])"
        if operand in self.module.globals:
            return f"({UINT[width]})((uint64_t)g_{operand.replace('$', '_')})"
        if m := re.fullmatch(r"(\S+?)\s*\+\s*(-?\d+)", operand):
            return f"({UINT[width]})({self.bits(m.group(1), 64)} + ({m.group(2)}))"
        raise Unknown(f"operand {operand}")

    def value(self, operand, type_):
        """The operand as a number of a type."""
        width = WIDTH[type_]
        bits = self.bits(operand, width)
        if type_[0] == "s":
            return f"(({SINT[width]}){bits})"
        if type_ == "f32":
            return f"F({bits})"
        if type_ == "f64":
            return f"D({bits})"
        if type_ == "f16":
            return f"H({bits})"
        if type_ == "bf16":
            return f"BF({bits})"
        return f"(({UINT[width]}){bits})"

    def from_value(self, expression, type_):
        if type_ in ("f32", "f64"):
            return f"B(({'float' if type_ == 'f32' else 'double'})({expression}))"
        if type_ == "f16":
            return f"toH({expression})"
        if type_ == "bf16":
            return f"toBF({expression})"
        return f"({UINT[WIDTH[type_]]})({expression})"

    def set(self, operand, bits, width, signed=False):
        if operand == "_":
            return f"(void)({bits});"
        found = self.register(operand)
        if not found:
            raise Unknown(f"destination {operand}")
        c, has = found
        if has > width and signed:
            return f"{c} = ({UINT[has]})({SINT[has]})({SINT[width]})({bits});"
        return f"{c} = ({UINT[has]})({bits});"

    def put(self, operand, expression, type_):
        return self.set(operand, self.from_value(expression, type_), WIDTH[type_], type_[0] == "s")

    def address(self, operand, space):
        m = re.fullmatch(r"\[\s*([^\]]+?)\s*\]", operand)
        inner = m.group(1)
        plus = re.fullmatch(r"(.+?)\s*\+\s*(-?\w+)", inner)
        base, offset = (plus.group(1), int(plus.group(2), 0)) if plus else (inner, 0)
        if space == "param":
            for at, (name, _) in enumerate(self.params):
                if base == name:
                    return f"(t.params[{at}] + {offset})"
        if base in self.shared or base in self.module.shared:
            at = self.shared.get(base, self.module.shared.get(base))
            return f"(t.shared + {at} + {offset})"
        found = self.register(base)
        if space == "shared" or space.startswith("shared"):
            return f"(t.shared + (uint32_t)({self.bits(base, 64 if found and found[1] == 64 else 32)} + {offset}))"
        return f"((char *)({self.bits(base, 64)} + ({offset})))"

    @staticmethod
    def list(operand):
        operand = operand.strip()
        return split_commas(operand[1:-1]) if operand.startswith("{") else [operand]

    # Statements

    def body(self, text):
        text = re.sub(r"//[^\n]*", "", text)
        at = 0
        # Labels of each scope first, so that jumps forward find them.
        for kind, content in tokens(text):
            if kind == "open":
                self.scopes.append({})
                self.labels.append({})
                at += 1
            elif kind == "close":
                if len(self.scopes) > 1:
                    self.scopes.pop()
                    self.labels.pop()
            elif kind == "label":
                if len(self.scopes) > 1:
                    self.count += 1
                    self.labels[-1][content] = f"L_{re.sub(r'[^A-Za-z0-9_]', '_', content)}_s{self.count}"
                self.lines.append(f"{self.label(content)}:;")
            else:
                self.statement(content)

    def statement(self, text):
        text = " ".join(text.split())
        if not text:
            return
        if text.startswith("."):
            return self.directive(text)
        guard = ""
        if text.startswith("@"):
            predicate, text = text[1:].split(" ", 1)
            guard = self.bits(predicate, 1)
        head, _, rest = text.partition(" ")
        mods = head.split(".")
        try:
            out = self.instruction(mods[0], mods[1:], split_commas(rest))
        except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
            raise Unknown(f"{text}   ({error!r})")
        self.lines.append((f"if ({guard}) {{ {out} }}" if guard else out))

    def directive(self, text):
        words = text.split()
        if words[0] == ".reg":
            type_ = words[1].lstrip(".")
            if type_ not in WIDTH:
                raise Unknown(text)
            for one in split_commas(" ".join(words[2:])):
                if m := re.fullmatch(r"(%[A-Za-z_]+)<(\d+)>", one):
                    self.vectors[m.group(1)] = WIDTH[type_]
                else:
                    self.declare(one, WIDTH[type_])
        elif words[0] == ".local":
            m = re.search(r"\.align (\d+) \.b8 (\S+?)\[(\d+)\]", text)
            align, name, size = int(m.group(1)), m.group(2), int(m.group(3))
            self.local_size = (self.local_size + 15) // 16 * 16
            self.locals[name] = self.local_size
            self.local_size += size
        elif words[0] == ".shared":
            self.module.take_shared(text, self.shared)
        elif words[0] in (".loc", ".pragma", ".branchtargets", ".callprototype", ".file"):
            pass
        else:
            raise Unknown(text)

    # The function

    def code(self):
        registers = "".join(f"    {UINT[w]} {c} = 0;\n" for c, w in sorted(self.declared.items()))
        body = "\n".join("    " + line for line in self.lines)
        name = self.name.replace("$", "_")
        sizes = ", ".join(str(size) for size in [self.local_size, self.module.shared_size, *(size for _, size in self.params)])
        return (f'extern "C" void kernel_{name}(T &t) {{\n{registers}{body}\n}}\n'
                f'extern "C" const uint32_t count_{name} = {len(self.params)}, fibers_{name} = {int(self.fibers)};\n'
                f'extern "C" const uint32_t sizes_{name}[] = {{{sizes}}};\n')


def tokens(text):
    """Statements, labels and scopes."""
    current, depth = "", 0
    i = 0
    while i < len(text):
        ch = text[i]
        if ch == "{" and not current.strip():
            yield "open", None
            current = ""
        elif ch == "}" and depth == 0:
            if current.strip():
                yield "statement", current
            current = ""
            yield "close", None
        elif ch == "{":
            depth += 1
            current += ch
        elif ch == "}":
            depth -= 1
            current += ch
        elif ch == ";":
            yield "statement", current
            current = ""
        elif ch == ":" and re.fullmatch(r"\s*[$A-Za-z_%][\w$%]*\s*", current) and text[i + 1:i + 2] != ":":
            yield "label", current.strip()
            current = ""
        elif ch == "\n" and re.match(r"\s*\.(loc|pragma|file)\b", current) and not current.strip().endswith(","):
            if not current.strip().startswith(".pragma"):
                current = ""
            else:
                current += ch
        else:
            current += ch
        i += 1
    if current.strip():
        yield "statement", current


class Module:
    def __init__(self, text):
        self.shared, self.shared_size, self.dynamic_align = {}, 0, 128
        self.globals = {}
        self.code = ""
        self.kernels = []
        text = re.sub(r"//[^\n]*", "", text)
        if re.search(r"^\s*\.(visible\s+|weak\s+|extern\s+)?\.?func\b", text, re.M) or re.search(r"\.func\s", text):
            raise Unknown(".func")
        head = text[:text.find(".entry")]
        for m in re.finditer(r"^\s*(?:\.extern |\.visible |\.weak )*\.shared [^;]*;", text, re.M):
            if m.start() < len(head):
                self.take_shared(m.group(0).strip().rstrip(";"), self.shared)
        # With values, in the order of their bytes.
        for m in re.finditer(r"(?:\.visible |\.weak )?\.(?:global|const)\s+\.align (\d+)\s+\.(\w+)\s+([\w$]+)(?:\[(\d*)\])?(?:\s*=\s*(\{[^}]*\}|\S+?))?;", text):
            type_, name, length, values = m.group(2), m.group(3), m.group(4), m.group(5)
            self.globals[name] = True
            c = "g_" + name.replace("$", "_")
            n = int(length) if length else 1
            content = values if values and values.startswith("{") else ("{" + values + "}" if values else "{}")
            if re.search(r"[A-Za-z_$]{2,}", re.sub(r"0x[0-9A-Fa-f]+|0[fd][0-9A-Fa-f]+", "", content)):
                raise Unknown("global with addresses")
            self.code += f"alignas(16) static {UINT[WIDTH[type_]]} {c}[{n}] = {content};\n"
        at = 0
        while True:
            m = re.compile(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)").search(text, at)
            if not m:
                break
            params = []
            for one in split_commas(m.group(2)):
                p = re.search(r"\.param\s+(?:\.align (\d+) )?\s*\.(\w+)\s+(?:\.ptr\s+(?:\.\w+\s+)?(?:\.align \d+\s+)?)?([\w$]+)(?:\[(\d+)\])?", one)
                size = WIDTH[p.group(2)] // 8 * (int(p.group(4)) if p.group(4) else 1)
                params.append((p.group(3), size))
            open_ = text.index("{", m.end())
            depth, end = 0, open_
            while True:
                if text[end] == "{":
                    depth += 1
                elif text[end] == "}":
                    depth -= 1
                    if depth == 0:
                        break
                end += 1
            self.kernels.append(Kernel(m.group(1), params, text[open_ + 1:end], self))
            at = end

    def take_shared(self, text, into):
        m = re.search(r"\.align (\d+) \.(\w+) ([\w$]+)(?:\[(\d*)\])?", text)
        align, type_, name = int(m.group(1)), m.group(2), m.group(3)
        size = WIDTH[type_] // 8 * (int(m.group(4)) if m.group(4) else (0 if "[" in text else 1))
        if not size:  # dynamic: behind all others
            into[name] = "DYN"
            self.dynamic_align = max(self.dynamic_align, align)
            return
        self.shared_size = (self.shared_size + align - 1) // align * align
        into[name] = self.shared_size
        self.shared_size += size


def main():
    try:
        module = Module(sys.stdin.read())
    except Unknown as unknown:
        print(f"unknown: {unknown}", file=sys.stderr)
        return 3
    size = (module.shared_size + module.dynamic_align - 1) // module.dynamic_align * module.dynamic_align
    print('#include "execute.h"\n' + module.code + f"enum : uint32_t {{ DYN = {size} }};\n")
    module.shared_size = size
    for kernel in module.kernels:
        print(kernel.code())
    return 0


if __name__ == "__main__":
    sys.exit(main())
