"""The instructions of PTX as C++: one method for each, which returns a statement.

A method gets the modifiers behind the instruction's name, its operands, the state space, the types among the modifiers,
and the last of these. An instruction without a method, and a form that a method does not know, raise Unknown. Those of
matrices and of asynchronous copies are in ptx_matrix.py and ptx_async.py.
"""
import re

WIDTH = {"b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "f16": 16, "bf16": 16, "b32": 32, "u32": 32,
         "s32": 32, "f32": 32, "f16x2": 32, "bf16x2": 32, "tf32": 32, "b64": 64, "u64": 64, "s64": 64, "f64": 64, "pred": 1}
UINT = {1: "bool", 8: "uint8_t", 16: "uint16_t", 32: "uint32_t", 64: "uint64_t"}
SINT = {8: "int8_t", 16: "int16_t", 32: "int32_t", 64: "int64_t"}
FLOATS = ("f16", "bf16", "f32", "f64")
PAIRS = ("f16x2", "bf16x2")
# Towards which number an instruction rounds to an integer, and the directions that no method knows for other results.
ROUND = {"rni": "m::nearbyint", "rzi": "m::trunc", "rmi": "m::floor", "rpi": "m::ceil"}
DIRECTED = ("rz", "rm", "rp")
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">=",
           "equ": "==", "neu": "!=", "ltu": "<", "leu": "<=", "gtu": ">", "geu": ">=", "num": "", "nan": ""}
NEGATED = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


class Unknown(Exception):
    """Something that the translator does not know."""


def split_commas(text):
    """Splits at the commas that are in no bracket."""
    parts, depth, current = [], 0, ""
    for ch in text:
        depth += (ch in "{[(") - (ch in "}])")
        if ch == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += ch
    if current.strip():
        parts.append(current.strip())
    return parts


class Instructions:
    """Needs the operands of ptx_to_cpp.Kernel."""

    def instruction(self, op, mods, args):
        handler = getattr(self, "op_" + op, None)
        if not handler:
            raise Unknown(f"{op}.{'.'.join(mods)} {', '.join(args)}")
        spaces = ("param", "global", "shared", "local", "const")
        space = next((m for m in mods if m in spaces or m.startswith(("shared::", "param::"))), "")
        types = [m for m in mods if m in WIDTH]
        return handler(mods, args, space, types, types[-1] if types else None)

    # Moving

    def op_mov(self, mods, args, space, types, type_):
        d, a = args
        if d.startswith("{"):
            outs = self.list(d)
            width = WIDTH[type_] // len(outs)
            source = self.bits(a, WIDTH[type_])
            return f"{{ {UINT[WIDTH[type_]]} v = {source}; " + " ".join(
                self.set(o, f"({UINT[width]})(v >> {i * width})", width) for i, o in enumerate(outs)) + " }"
        if a.startswith("{"):
            ins = self.list(a)
            width = WIDTH[type_] // len(ins)
            value = " | ".join(f"(({UINT[WIDTH[type_]]})({UINT[width]}){self.bits(i, width)} << {k * width})" for k, i in enumerate(ins))
            return self.set(d, value, WIDTH[type_])
        return self.set(d, self.bits(a, WIDTH[type_]), WIDTH[type_])

    def op_cvta(self, mods, args, space, types, type_):
        d, a = args
        if space.startswith("shared"):
            if "to" in mods:
                return self.set(d, f"({self.bits(a, 64)} - (uint64_t)t.shared)", 64)
            return self.set(d, f"((uint64_t)t.shared + {self.bits(a, 64)})", 64)
        return self.set(d, self.bits(a, 64), 64)

    def side(self, space, now):
        """Before a load or store in shared memory, in which threads may take turns."""
        if not space.startswith("shared"):
            return ""
        self.fibers = True
        return f"side(t, '{now}'); "

    def op_ld(self, mods, args, space, types, type_):
        outs, address = self.list(args[0]), self.address(args[1], space)
        width, signed = WIDTH[type_], type_[0] == "s"
        load = f"ldg<{UINT[width]}>(t, " if space == "global" else f"ld<{UINT[width]}>("
        side = self.side(space, "l")
        if len(outs) == 1:
            return side + self.set(outs[0], f"{load}{address})", width, signed)
        return f"{{ {side}char *p = {address}; " + " ".join(
            self.set(o, f"{load}p + {i * width // 8})", width, signed) for i, o in enumerate(outs)) + " }"

    op_ldu = op_ld

    def op_st(self, mods, args, space, types, type_):
        address, ins = self.address(args[0], space), self.list(args[1])
        width = WIDTH[type_]
        return f"{{ {self.side(space, 's')}char *p = {address}; " + " ".join(
            f"st<{UINT[width]}>(p + {i * width // 8}, {self.bits(s, width)});" for i, s in enumerate(ins)) + " }"

    def op_prefetch(self, *_):
        return ";"

    op_prefetchu = op_membar = op_fence = op_griddepcontrol = op_nanosleep = op_discard = op_applypriority = op_prefetch

    # Arithmetic

    @staticmethod
    def nearest(mods, type_):
        if type_ in FLOATS + PAIRS and any(m in DIRECTED for m in mods):
            raise Unknown("the rounding of " + ".".join(mods))

    def binary(self, sign):
        def op(mods, args, space, types, type_):
            d, a, b = args
            self.nearest(mods, type_)
            if type_ in PAIRS:
                return self.halves(d, [a, b], type_, f"x0 {sign} x1")
            if type_ in FLOATS:
                e = f"{self.value(a, type_)} {sign} {self.value(b, type_)}"
                return self.put(d, f"sat({e})" if "sat" in mods else e, type_)
            width = WIDTH[type_]
            return self.set(d, f"({UINT[width]})({self.bits(a, width)} {sign} {self.bits(b, width)})", width)
        return op

    def halves(self, d, args, type_, expression):
        """An operation on both halves; x0, x1 and x2 are those of the operands."""
        to, fro = ("toH", "H") if type_ == "f16x2" else ("toBF", "BF")
        code = "{ uint32_t v = 0; "
        for h in (0, 16):
            names = ", ".join(f"x{i} = {fro}((uint16_t)({self.bits(a, 32)} >> {h}))" for i, a in enumerate(args))
            code += f"{{ float {names}; v |= (uint32_t){to}({expression}) << {h}; }} "
        return code + self.set(d, "v", 32) + " }"

    def op_add(self, *a):
        return self.binary("+")(*a)

    def op_sub(self, *a):
        return self.binary("-")(*a)

    def op_mul(self, mods, args, space, types, type_):
        d, a, b = args
        self.nearest(mods, type_)
        if type_ in PAIRS:
            return self.halves(d, [a, b], type_, "x0 * x1")
        if type_ in FLOATS:
            e = f"{self.value(a, type_)} * {self.value(b, type_)}"
            return self.put(d, f"sat({e})" if "sat" in mods else e, type_)
        width = WIDTH[type_]
        signed = type_[0] == "s"
        if "wide" in mods:
            to = (SINT if signed else UINT)[2 * width]
            return self.set(d, f"({UINT[2 * width]})(({to}){self.value(a, type_)} * ({to}){self.value(b, type_)})", 2 * width)
        if "hi" in mods:
            if width == 64:
                return self.set(d, f"{'mulhis' if signed else 'mulhi'}({self.value(a, type_)}, {self.value(b, type_)})", 64)
            to = (SINT if signed else UINT)[2 * width]
            return self.set(d, f"({UINT[width]})((({to}){self.value(a, type_)} * ({to}){self.value(b, type_)}) >> {width})", width)
        return self.set(d, f"({UINT[width]})({self.bits(a, width)} * {self.bits(b, width)})", width)

    def op_mul24(self, mods, args, space, types, type_):
        return self.set(args[0], f"({self.bits(args[1], 32)} * {self.bits(args[2], 32)})", 32)

    def op_mad(self, mods, args, space, types, type_):
        d, a, b, c = args
        if type_ in ("f32", "f64"):
            return self.op_fma(mods, args, space, types, type_)
        width = WIDTH[type_]
        signed = type_[0] == "s"
        if "wide" in mods:
            to = (SINT if signed else UINT)[2 * width]
            return self.set(d, f"({UINT[2 * width]})(({UINT[2 * width]})(({to}){self.value(a, type_)} * ({to}){self.value(b, type_)}) + {self.bits(c, 2 * width)})", 2 * width)
        if "hi" in mods:
            to = (SINT if signed else UINT)[2 * width]
            return self.set(d, f"({UINT[width]})(((({to}){self.value(a, type_)} * ({to}){self.value(b, type_)}) >> {width}) + {self.bits(c, width)})", width)
        return self.set(d, f"({UINT[width]})({self.bits(a, width)} * {self.bits(b, width)} + {self.bits(c, width)})", width)

    def op_fma(self, mods, args, space, types, type_):
        d, a, b, c = args
        if type_ == "f32" and "rm" in mods and "sat" not in mods:
            return self.put(d, f"m::fma_down({self.value(a, type_)}, {self.value(b, type_)}, {self.value(c, type_)})", type_)
        self.nearest(mods, type_)
        if type_ in PAIRS:
            e = "odd(m::fma((double)x0, (double)x1, (double)x2))"
            return self.halves(d, [a, b, c], type_, f"m::fmax({e}, 0.0f)" if "relu" in mods else e)
        if type_ in ("f16", "bf16"):
            x, y, z = (f"(double){self.value(v, type_)}" for v in (a, b, c))
            e = f"odd(m::fma({x}, {y}, {z}))"
            if "relu" in mods:
                e = f"m::fmax({e}, 0.0f)"
        else:
            e = f"m::fma({self.value(a, type_)}, {self.value(b, type_)}, {self.value(c, type_)})"
        return self.put(d, f"sat({e})" if "sat" in mods else e, type_)

    def op_div(self, mods, args, space, types, type_):
        d, a, b = args
        self.nearest(mods, type_)
        if type_ in ("f32", "f64"):
            return self.put(d, f"{self.value(a, type_)} / {self.value(b, type_)}", type_)
        return self.put(d, f"({self.value(b, type_)} ? {self.value(a, type_)} / {self.value(b, type_)} : -1)", type_)

    def op_rem(self, mods, args, space, types, type_):
        d, a, b = args
        return self.put(d, f"({self.value(b, type_)} ? {self.value(a, type_)} % {self.value(b, type_)} : {self.value(a, type_)})", type_)

    def minmax(self, name):
        def op(mods, args, space, types, type_):
            d, *rest = args
            if "relu" in mods or "xorsign" in mods:
                raise Unknown(name + "." + ".".join(mods))
            f = f"m::nan{name}" if "NaN" in mods else f"m::f{name}"
            if type_ in PAIRS:
                return self.halves(d, rest, type_, f"{f}(x0, x1)")
            if type_ in FLOATS:
                e = self.value(rest[0], type_)
                for other in rest[1:]:
                    e = f"{f}({e}, {self.value(other, type_)})"
                return self.put(d, e, type_)
            sign = "<" if name == "min" else ">"
            a, b = self.value(rest[0], type_), self.value(rest[1], type_)
            return self.put(d, f"({a} {sign} {b} ? {a} : {b})", type_)
        return op

    def op_min(self, *a):
        return self.minmax("min")(*a)

    def op_max(self, *a):
        return self.minmax("max")(*a)

    def op_abs(self, mods, args, space, types, type_):
        d, a = args
        if type_ in PAIRS:
            return self.set(d, f"({self.bits(a, 32)} & 0x7fff7fffu)", 32)
        if type_ in ("f16", "bf16"):
            return self.set(d, f"({self.bits(a, 16)} & 0x7fff)", 16)
        if type_[0] == "f":
            return self.put(d, f"m::fabs({self.value(a, type_)})", type_)
        return self.put(d, f"({self.value(a, type_)} < 0 ? -{self.value(a, type_)} : {self.value(a, type_)})", type_)

    def op_neg(self, mods, args, space, types, type_):
        d, a = args
        if type_ in PAIRS:
            return self.set(d, f"({self.bits(a, 32)} ^ 0x80008000u)", 32)
        if type_ in ("f16", "bf16"):
            return self.set(d, f"({self.bits(a, 16)} ^ 0x8000)", 16)
        if type_[0] == "f":
            return self.put(d, f"-{self.value(a, type_)}", type_)
        width = WIDTH[type_]
        return self.set(d, f"({UINT[width]})(0 - {self.bits(a, width)})", width)

    def op_copysign(self, mods, args, space, types, type_):
        d, a, b = args
        return self.put(d, f"m::copysign({self.value(b, type_)}, {self.value(a, type_)})", type_)

    def unary(self, expression):
        def op(mods, args, space, types, type_):
            d, a = args
            self.nearest(mods, type_)
            if type_ in PAIRS:
                return self.halves(d, [a], type_, expression.replace("X", "x0"))
            return self.put(d, expression.replace("X", f"({self.value(a, type_)})"), type_)
        return op

    def op_rcp(self, *a):
        return self.unary("1 / X")(*a)

    def op_sqrt(self, *a):
        return self.unary("m::sqrt(X)")(*a)

    def op_rsqrt(self, *a):
        return self.unary("1 / m::sqrt(X)")(*a)

    def op_ex2(self, *a):
        return self.unary("m::exp2(X)")(*a)

    def op_lg2(self, *a):
        return self.unary("m::log2(X)")(*a)

    def op_sin(self, *a):
        return self.unary("m::sin(X)")(*a)

    def op_cos(self, *a):
        return self.unary("m::cos(X)")(*a)

    def op_tanh(self, *a):
        return self.unary("m::tanh(X)")(*a)

    # Bits

    def logic(self, sign):
        def op(mods, args, space, types, type_):
            d, a, b = args
            width = WIDTH[type_]
            return self.set(d, f"({UINT[width]})({self.bits(a, width)} {sign} {self.bits(b, width)})", width)
        return op

    def op_and(self, *a):
        return self.logic("&")(*a)

    def op_or(self, *a):
        return self.logic("|")(*a)

    def op_xor(self, *a):
        return self.logic("^")(*a)

    def op_not(self, mods, args, space, types, type_):
        width = WIDTH[type_]
        sign = "!" if width == 1 else "~"
        return self.set(args[0], f"({UINT[width]})({sign}{self.bits(args[1], width)})", width)

    def op_cnot(self, mods, args, space, types, type_):
        width = WIDTH[type_]
        return self.set(args[0], f"({UINT[width]})({self.bits(args[1], width)} == 0)", width)

    def op_shl(self, mods, args, space, types, type_):
        d, a, b = args
        width = WIDTH[type_]
        return self.set(d, f"({self.bits(b, 32)} >= {width} ? ({UINT[width]})0 : ({UINT[width]})({self.bits(a, width)} << {self.bits(b, 32)}))", width)

    def op_shr(self, mods, args, space, types, type_):
        d, a, b = args
        width = WIDTH[type_]
        if type_[0] == "s":
            return self.put(d, f"({self.value(a, type_)} >> ({self.bits(b, 32)} >= {width} ? {width - 1} : {self.bits(b, 32)}))", type_)
        return self.set(d, f"({self.bits(b, 32)} >= {width} ? ({UINT[width]})0 : ({UINT[width]})({self.bits(a, width)} >> {self.bits(b, 32)}))", width)

    def op_shf(self, mods, args, space, types, type_):
        d, a, b, c = args
        n = f"({self.bits(c, 32)} & 31)" if "wrap" in mods else f"({self.bits(c, 32)} > 32 ? 32u : {self.bits(c, 32)})"
        return self.set(d, f"shf_{'l' if 'l' in mods else 'r'}({self.bits(a, 32)}, {self.bits(b, 32)}, {n})", 32)

    def op_prmt(self, mods, args, space, types, type_):
        if mods != ["b32"]:
            raise Unknown("prmt." + ".".join(mods))
        return self.set(args[0], f"prmt({', '.join(self.bits(a, 32) for a in args[1:])})", 32)

    def op_lop3(self, mods, args, space, types, type_):
        return self.set(args[0], f"lop3({', '.join(self.bits(a, 32) for a in args[1:5])})", 32)

    def op_popc(self, mods, args, space, types, type_):
        f = "__builtin_popcountll" if WIDTH[type_] == 64 else "__builtin_popcount"
        return self.set(args[0], f"(uint32_t){f}({self.bits(args[1], WIDTH[type_])})", 32)

    def op_clz(self, mods, args, space, types, type_):
        a = self.bits(args[1], WIDTH[type_])
        f = f"({a} ? __builtin_clzll({a}) : 64)" if WIDTH[type_] == 64 else f"({a} ? __builtin_clz({a}) : 32)"
        return self.set(args[0], f"(uint32_t){f}", 32)

    def op_bfind(self, mods, args, space, types, type_):
        a = self.bits(args[1], 32)
        return self.set(args[0], f"({a} ? 31u - (uint32_t)__builtin_clz({a}) : 0xffffffffu)", 32)

    def op_brev(self, mods, args, space, types, type_):
        return self.set(args[0], f"brev({self.bits(args[1], 32)})", 32)

    def op_bfe(self, mods, args, space, types, type_):
        if WIDTH[type_] != 32:
            raise Unknown("bfe")
        return self.set(args[0], f"bfe_{type_[0]}({', '.join(self.bits(a, 32) for a in args[1:])})", 32)

    def op_bfi(self, mods, args, space, types, type_):
        if WIDTH[type_] != 32:
            raise Unknown("bfi")
        return self.set(args[0], f"bfi({', '.join(self.bits(a, 32) for a in args[1:])})", 32)

    # Comparing and choosing

    def compare(self, mods, a, b, type_):
        op = next(m for m in mods if m in COMPARE)
        if type_ in ("b16", "b32", "b64", "pred"):
            x, y = self.bits(a, WIDTH[type_]), self.bits(b, WIDTH[type_])
        else:
            x, y = self.value(a, type_), self.value(b, type_)
        if op in ("num", "nan"):
            nan = f"({x} != {x} || {y} != {y})"
            return nan if op == "nan" else f"!{nan}"
        sign = COMPARE[op]
        if op.endswith("u") and op != "u" and len(op) == 3:
            return f"!({x} {NEGATED[sign]} {y})"
        if op == "ne" and type_[0] == "f":
            return f"({x} == {x} && {y} == {y} && {x} != {y})"
        return f"({x} {sign} {y})"

    def op_setp(self, mods, args, space, types, type_):
        outs = [o.strip() for o in args[0].split("|")]
        if type_ in PAIRS:
            raise Unknown("setp " + type_)
        c = self.compare(mods, args[1], args[2], type_)
        boolean = next((m for m in mods if m in ("and", "or", "xor")), None)
        sign = {"and": "&", "or": "|", "xor": "^"}.get(boolean)
        if boolean:
            other = self.bits(args[3], 1)
            code = f"{{ bool c = {c}, o = {other}; " + self.set(outs[0], f"(bool)(c {sign} o)", 1)
            if len(outs) > 1:
                code += self.set(outs[1], f"(bool)(!c {sign} o)", 1)
            return code + " }"
        code = f"{{ bool c = {c}; " + self.set(outs[0], "c", 1)
        if len(outs) > 1:
            code += self.set(outs[1], "!c", 1)
        return code + " }"

    def op_set(self, mods, args, space, types, type_):
        d, a, b = args
        to, of = types
        c = self.compare(mods, a, b, of)
        if to == "f32":
            return self.put(d, f"({c} ? 1.0f : 0.0f)", "f32")
        return self.set(d, f"({c} ? 0xffffffffu : 0u)", 32)

    def op_selp(self, mods, args, space, types, type_):
        d, a, b, p = args
        width = WIDTH[type_]
        return self.set(d, f"({self.bits(p, 1)} ? ({UINT[width]}){self.bits(a, width)} : ({UINT[width]}){self.bits(b, width)})", width)

    def op_slct(self, mods, args, space, types, type_):
        d, a, b, c = args
        width = WIDTH[types[0]]
        return self.set(d, f"({self.value(c, types[1])} >= 0 ? {self.bits(a, width)} : {self.bits(b, width)})", width)

    def op_testp(self, mods, args, space, types, type_):
        test = {"finite": "__builtin_isfinite", "infinite": "__builtin_isinf", "notanumber": "__builtin_isnan",
                "number": "!__builtin_isnan", "normal": "__builtin_isnormal"}
        return self.set(args[0], f"({test[mods[0]]}({self.value(args[1], type_)}))", 1)

    # Converting

    def op_cvt(self, mods, args, space, types, type_):
        to, of = types[0], types[1]
        d, a = args[0], args[1]
        direction = next((m for m in mods if m in DIRECTED), None)
        names = {"f16": "toH", "bf16": "toBF", "f16x2": "toH", "bf16x2": "toBF"}
        if direction and not (direction == "rz" and to in names and of == "f32"):
            raise Unknown("cvt." + ".".join(mods))
        if to in PAIRS:
            f = names[to] + ("z" if direction else "")
            high, low = (self.value(x, "f32") for x in args[1:3])
            if "relu" in mods:
                high, low = f"m::fmax({high}, 0.0f)", f"m::fmax({low}, 0.0f)"
            return self.set(d, f"((uint32_t){f}({high}) << 16 | {f}({low}))", 32)
        if to == "tf32":
            return self.set(d, f"toTF32({self.value(a, 'f32')})", 32)
        round_ = next((ROUND[m] for m in mods if m in ROUND), None)
        if to in FLOATS and of in FLOATS:
            value = self.value(a, of)
            if round_:
                value = f"{round_}({value})"
            if "relu" in mods:
                value = f"m::fmax({value}, 0.0f)"
            if "sat" in mods:
                value = f"sat({value})"
            if direction:
                return self.set(d, f"{names[to]}z({value})", 16)
            return self.put(d, f"odd({value})" if of == "f64" and to in names else value, to)
        if to in FLOATS:
            value = self.value(a, of)
            return self.put(d, f"odd((double){value})" if to in names else f"({'double' if to == 'f64' else 'float'}){value}", to)
        integer = (SINT if to[0] == "s" else UINT)[WIDTH[to]]
        if of in FLOATS:
            return self.put(d, f"fti<{integer}>({round_ or ROUND['rzi']}((double){self.value(a, of)}))", to)
        if "sat" in mods:
            return self.put(d, f"fti<{integer}>((double){self.value(a, of)})", to)
        return self.put(d, f"({integer}){self.value(a, of)}", to)

    # Flow

    def op_bra(self, mods, args, space, types, type_):
        return f"goto {self.label(args[0])};"

    def op_ret(self, *_):
        return "return;"

    op_exit = op_ret

    def op_trap(self, *_):
        return "__builtin_trap();"

    op_brkpt = op_trap

    # Together

    def op_bar(self, mods, args, space, types, type_):
        self.fibers = True
        if "warp" in mods:
            return f"t.meet(t, {self.bits(args[0], 32)});"
        if mods and mods[0] in ("arrive", "red"):
            raise Unknown("bar." + ".".join(mods))
        count = self.bits(args[1], 32) if len(args) > 1 else "0u"
        return f"t.bar(t, {self.bits(args[0], 32)}, {count});"

    op_barrier = op_bar

    def op_shfl(self, mods, args, space, types, type_):
        self.fibers = True
        outs = [o.strip() for o in args[0].split("|")]
        mode = {"up": 0, "down": 1, "bfly": 2, "idx": 3}[next(m for m in mods if m in ("up", "down", "bfly", "idx"))]
        code = f"{{ uint32_t d; bool p; shfl(t, {mode}, {', '.join(self.bits(a, 32) for a in args[1:5])}, d, p); " + self.set(outs[0], "d", 32)
        if len(outs) > 1:
            code += self.set(outs[1], "p", 1)
        return code + " }"

    def op_vote(self, mods, args, space, types, type_):
        self.fibers = True
        mask = self.bits(args[2], 32)
        ballot = f"ballot(t, {self.bits(args[1], 1)}, {mask})"
        if "ballot" in mods:
            return self.set(args[0], ballot, 32)
        if "any" in mods:
            return self.set(args[0], f"({ballot} != 0)", 1)
        if "all" in mods:
            return self.set(args[0], f"({ballot} == ({mask} & *t.alive))", 1)
        raise Unknown("vote")

    def op_activemask(self, mods, args, space, types, type_):
        return self.set(args[0], "*t.alive", 32)

    def op_redux(self, mods, args, space, types, type_):
        self.fibers = True
        op = next(m for m in mods if m in ("add", "min", "max", "and", "or", "xor"))
        signed = "(int32_t)" if type_[0] == "s" else ""
        e = {"add": "a + b", "and": "a & b", "or": "a | b", "xor": "a ^ b", "min": f"{signed}a < {signed}b ? a : b", "max": f"{signed}a > {signed}b ? a : b"}[op]
        return self.set(args[0], f"redux(t, {self.bits(args[1], 32)}, {self.bits(args[2], 32)}, [](uint32_t a, uint32_t b) {{ return (uint32_t)({e}); }})", 32)

    def atomic(self, mods, space, type_, old, address, b, c=None):
        """One thread runs at a time, so that a read and a write are atomic."""
        width = WIDTH[type_]
        u = UINT[width]
        op = next(m for m in mods if m in ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"))
        if op == "cas":
            new = f"(o == {self.bits(b, width)} ? {self.bits(c, width)} : o)"
        elif op == "exch":
            new = self.bits(b, width)
        elif op in ("inc", "dec"):
            v = self.bits(b, width)
            new = f"(o >= {v} ? 0 : o + 1)" if op == "inc" else f"(o == 0 || o > {v} ? {v} : o - 1)"
        else:
            kind = type_ if type_[0] != "b" or type_ == "bf16" else "u" + type_[1:]
            if kind not in WIDTH or kind in PAIRS:
                raise Unknown("atom." + ".".join(mods))
            read = {"f32": "F(o)", "f64": "D(o)", "f16": "H(o)", "bf16": "BF(o)"}
            one = read.get(kind, f"({SINT[width]})o" if kind[0] == "s" else "o")
            two = self.value(b, kind)
            e = {"add": f"{one} + {two}", "min": f"({one} < {two} ? {one} : {two})", "max": f"({one} > {two} ? {one} : {two})",
                 "and": f"{one} & {two}", "or": f"{one} | {two}", "xor": f"{one} ^ {two}"}[op]
            new = self.from_value(e, kind)
        code = f"{{ char *p = {self.address(address, space)}; {u} o = ld<{u}>(p); st<{u}>(p, ({u})({new})); "
        return code + (self.set(old, "o", width) if old else "") + " }"

    def op_atom(self, mods, args, space, types, type_):
        return self.atomic(mods, space, type_, args[0], args[1], args[2], args[3] if len(args) > 3 else None)

    def op_red(self, mods, args, space, types, type_):
        if "async" in mods or args[1].startswith("{"):
            raise Unknown("red." + ".".join(mods))
        return self.atomic(mods, space, type_, None, args[0], args[1])
