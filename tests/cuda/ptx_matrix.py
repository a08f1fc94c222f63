"""The instructions of PTX for tensor cores, as ptx_instructions.py has the others."""
import re

from ptx_instructions import Unknown

KIND = {"f16": 0, "bf16": 1, "tf32": 2}


class Matrices:
    """Needs the operands of ptx_to_cpp.Kernel."""

    def array(self, name, operands):
        return f"uint32_t {name}[] = {{{', '.join(self.bits(x, 32) for x in operands)}}}; "

    def spread(self, operands):
        """Puts d[0], d[1], ... into registers."""
        return " ".join(self.set(x, f"d[{i}]", 32) for i, x in enumerate(operands)) + " }"

    @staticmethod
    def shape(mods):
        return map(int, re.fullmatch(r"m(\d+)n(\d+)k(\d+)", next(m for m in mods if re.match(r"m\d+n", m))).groups())

    def op_mma(self, mods, args, space, types, type_):
        self.fibers = True
        m, n, k = self.shape(mods)
        dt, at, bt, ct = types
        if (m, n) != (16, 8) or at != bt or dt != "f32" or ct != "f32" or at not in KIND:
            raise Unknown("mma." + ".".join(mods))
        d, a, b, c = map(self.list, args)
        floats = ", ".join(self.value(x, "f32") for x in c)
        return ("{ " + self.array("a", a) + self.array("b", b) + f"float c[] = {{{floats}}}, f[4]; "
                f"mma_16x8(t, {KIND[at]}, {k}, a, {len(a)}, b, {len(b)}, c, f); "
                "uint32_t d[] = {B(f[0]), B(f[1]), B(f[2]), B(f[3])}; " + self.spread(d))

    @staticmethod
    def eight_by_eight(name, mods):
        if "m8n8" not in mods or "b16" not in mods:
            raise Unknown(name + "." + ".".join(mods))

    def op_ldmatrix(self, mods, args, space, types, type_):
        self.eight_by_eight("ldmatrix", mods)
        self.fibers = True
        outs, trans = self.list(args[0]), "true" if "trans" in mods else "false"
        address = self.address(args[1], space or "generic")
        return f"{{ uint32_t d[4]; ldmatrix(t, {len(outs)}, {trans}, {address}, d); " + self.spread(outs)

    def op_stmatrix(self, mods, args, space, types, type_):
        self.eight_by_eight("stmatrix", mods)
        self.fibers = True
        ins, trans = self.list(args[1]), "true" if "trans" in mods else "false"
        address = self.address(args[0], space or "generic")
        return "{ " + self.array("s", ins) + f"stmatrix(t, {len(ins)}, {trans}, {address}, s); }}"

    def op_wmma(self, mods, args, space, types, type_):
        self.fibers = True
        m, n, k = self.shape(mods)
        in_rows = next(x for x in mods if x in ("row", "col")) == "row"

        def kind(type_):
            return KIND.get(type_, 3)

        if mods[0] in ("load", "store"):
            rows, cols = {"a": (m, k), "b": (k, n), "c": (m, n), "d": (m, n)}[mods[1]]
            values, place = (args[0], args[1]) if mods[0] == "load" else (args[1], args[0])
            values, address = self.list(values), self.address(place, space or "generic")
            stride = self.bits(args[2], 32) if len(args) > 2 else str(cols if in_rows else rows)
            how = f"t, {kind(type_)}, {rows}, {cols}, {'true' if in_rows else 'false'}, {address}, {stride}"
            if mods[0] == "load":
                return f"{{ uint32_t d[16]; wmma_load({how}, d, {len(values)}); " + self.spread(values)
            return "{ " + self.array("s", values) + f"wmma_store({how}, s, {len(values)}); }}"
        if mods[0] == "mma":
            d, a, b, c = map(self.list, args)
            # Of f16 only the types of d and c are named.
            dt, ab, ct = (types[0], "f16", types[1]) if len(types) == 2 else (types[0], types[1], types[3])
            return ("{ " + self.array("a", a) + self.array("b", b) + self.array("c", c) + "uint32_t d[16]; "
                    f"wmma_mma(t, {n}, {k}, {kind(ab)}, {kind(ct)}, {kind(dt)}, a, {len(a)}, b, {len(b)}, c, d, {len(d)}); "
                    + self.spread(d))
        raise Unknown("wmma." + ".".join(mods))
