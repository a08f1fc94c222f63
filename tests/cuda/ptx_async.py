"""The instructions of PTX for barriers in shared memory and asynchronous copies, as ptx_instructions.py has the others."""
import re

from ptx_instructions import Unknown, split_commas

# What leaves the meaning: everything is ordered, a block is a cluster of its own, and nothing is cached.
ORDER = {"release", "acquire", "relaxed", "cta", "cluster"}
SHARED = {"shared", "shared::cta", "shared::cluster"}
CACHE = {"L2::64B", "L2::128B", "L2::256B", "L2::cache_hint"}


class Async:
    """Needs the operands of ptx_to_cpp.Kernel."""

    def op_mbarrier(self, mods, args, space, types, type_):
        self.fibers = True
        what, form = mods[0], set(mods[1:]) - SHARED - ORDER - {"b64"}

        def refuse(known=()):
            if form - set(known) or "b64" not in mods and what not in ("expect_tx", "complete_tx"):
                raise Unknown("mbarrier." + ".".join(mods))

        def at(operand):
            return self.address(operand, space or "generic")

        if what == "init":
            refuse()
            return f"t.async->init(t, {at(args[0])}, {self.bits(args[1], 32)});"
        if what == "inval":
            refuse()
            return f"t.async->invalidate(t, {at(args[0])});"
        if what in ("expect_tx", "complete_tx"):
            refuse()
            return f"t.async->{what[:-3]}(t, {at(args[0])}, {self.bits(args[1], 32)});"
        if what in ("arrive", "arrive_drop"):
            refuse(("expect_tx", "noComplete"))
            # Without a state for the result, the address is the first operand.
            if args[0].startswith("["):
                args = ["_", *args]
            drop = "true" if what == "arrive_drop" else "false"
            if "expect_tx" in form:
                call = f"arrive_expecting(t, {at(args[1])}, {self.bits(args[2], 32)}, {drop})"
            else:
                count = self.bits(args[2], 32) if len(args) > 2 else "1u"
                call = f"arrive(t, {at(args[1])}, {count}, {drop}, {'false' if 'noComplete' in form else 'true'})"
            return self.set(args[0], f"t.async->{call}", 64)
        if what in ("test_wait", "try_wait"):
            refuse(("parity",))
            name, width = ("parity_over", 32) if "parity" in form else ("over", 64)
            block = "true" if what == "try_wait" else "false"
            return self.set(args[0], f"t.async->{name}(t, {at(args[1])}, {self.bits(args[2], width)}, {block})", 1)
        if what == "pending_count":
            refuse()
            return self.set(args[0], f"t.async->pending(t, {self.bits(args[1], 64)})", 32)
        raise Unknown("mbarrier." + ".".join(mods))

    def op_cp(self, mods, args, space, types, type_):
        if mods[:2] == ["async", "bulk"]:
            return self.bulk(mods, args)
        unknown = Unknown("cp." + ".".join(mods))
        if mods[0] != "async":
            raise unknown
        if mods[1:] == ["commit_group"]:
            return "t.async->commit(t);"
        if mods[1:] == ["wait_group"]:
            return f"t.async->wait(t, {self.bits(args[0], 32)});"
        if mods[1:] == ["wait_all"]:
            return "t.async->wait_all(t);"
        self.fibers = True
        form = set(mods[2:])
        if mods[1] == "mbarrier" and "arrive" in form and not form - SHARED - {"arrive", "noinc", "b64"}:
            increments = "false" if "noinc" in form else "true"
            return f"t.async->arrive_copied(t, {self.address(args[0], space or 'generic')}, {increments});"
        if mods[1] not in ("ca", "cg") or "global" not in form or form - {"shared", "shared::cta", "global"} - CACHE:
            raise unknown
        if "L2::cache_hint" in form:
            args = args[:-1]
        to, fro, size = self.address(args[0], "shared"), self.address(args[1], "global"), int(args[2], 0)
        if size not in ((16,) if mods[1] == "cg" else (4, 8, 16)):
            raise unknown
        got = f"{size}u"
        if len(args) > 3:
            found = self.register(args[3].lstrip("!"))
            # A predicate leaves out the source; a number is how many bytes are taken from it.
            got = f"({self.bits(args[3], 1)} ? 0u : {size}u)" if found and found[1] == 1 else self.bits(args[3], 32)
        return f"t.async->copy(t, {to}, {fro}, {size}u, {got});"

    def bulk(self, mods, args):
        """To shared memory, where an mbarrier counts the bytes. Nothing waits for those to the memory of the device."""
        self.fibers = True
        unknown = Unknown("cp." + ".".join(mods))
        tensor = mods[2] == "tensor"
        rank = int(re.fullmatch(r"([1-5])d", mods[3]).group(1)) if tensor else 0
        form = mods[4 if tensor else 2:]
        if form[0] not in SHARED or form[1] != "global" or "mbarrier::complete_tx::bytes" not in form:
            raise unknown
        modes = {"tile", "im2col"} if tensor else set()
        if set(form[2:]) - modes - {"mbarrier::complete_tx::bytes", "L2::cache_hint"}:
            raise unknown
        to = self.address(args[0], "shared")
        if not tensor:
            fro, size, barrier = self.address(args[1], "global"), self.bits(args[2], 32), self.address(args[3], "shared")
            return f"t.async->bulk(t, {to}, {fro}, {size}, {barrier});"
        barrier = self.address(args[2], "shared")
        map_, coordinates = split_commas(args[1].strip()[1:-1])
        im2col = "im2col" in form
        offsets = self.list(args[3]) if im2col else []
        coordinates = self.list(coordinates)
        if len(coordinates) != rank or im2col and len(offsets) != rank - 2:
            raise unknown
        numbers = ", ".join(f"(int32_t){self.bits(x, 32)}" for x in coordinates)
        shifts = ", ".join(self.bits(x, 16) for x in offsets) or "0"
        return (f"{{ const int32_t at[] = {{{numbers}}}; const uint16_t offsets[] = {{{shifts}}}; "
                f"t.async->tensor(t, {to}, {self.address(f'[{map_}]', 'generic')}, {'true' if im2col else 'false'}, {rank}, at, "
                f"offsets, {barrier}); }}")

    def op_elect(self, mods, args, space, types, type_):
        self.fibers = True
        outs = [o.strip() for o in args[0].split("|")]
        mask = self.bits(args[1], 32)
        code = f"{{ t.meet(t, {mask}); uint32_t first = (uint32_t)__builtin_ctz({mask} & *t.alive); " + self.set(outs[0], "first", 32)
        if len(outs) > 1:
            code += self.set(outs[1], "(first == t.lane)", 1)
        return code + " }"
