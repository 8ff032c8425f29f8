# Rules and plans: how a group's tensors make a step. Part of _engine.pyx.
import numpy as np

from cpython.dict cimport PyDict_Next
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport INFINITY, sqrt
from libc.stdlib cimport calloc, free

from _buffers cimport same_shape, size_of, width_of
from _core cimport (
    AVERAGE, CLIP, COMMON, DECAY, FLOAT32, FLOAT64, HIGH, L2, LOW, MAX_BUFFERS, PENDING, READABLE, SCALE, SLOW, SUMS, SYNC,
    THREAD_MIN, THRESHOLD, WEIGHT, WRITEABLE, array_of, array_t, dtype_of, measure_t, rule_t, settle_t, share_t,
)
from _runs cimport (
    ADD, ALL, BEFORE, MAX_SCALARS, MEMORY, NORM, START, UPDATE, adjoin, chunks_in, job_t, list_runs, pass_over, phase_t,
    recipe_t, run_t, tensor_t, total, work_on,
)

from . import _passes, _threads

cdef extern from "Python.h":
    bint PyObject_TypeCheck(object, type)

cdef enum:
    UPDATABLE = READABLE | WRITEABLE
    NOGIL_MIN = 1 << 12      # below this many, releasing the GIL costs more than the kernel

cdef type ndarray = np.ndarray
cdef share_t share = <share_t> PyCapsule_GetPointer(_threads.SHARE_OUT, "fastopt.share")
cdef object hire = _threads.hire

ctypedef rule_t[2] pair_t    # for float32, float64
ctypedef measure_t[2] measures_t


cdef int unpack(object kernels, pair_t pair) except -1:
    pair[0] = <rule_t> PyCapsule_GetPointer(kernels[0], "fastopt.rule")
    pair[1] = <rule_t> PyCapsule_GetPointer(kernels[1], "fastopt.rule")
    return 0


cdef int unpack_measure(object kernels, measures_t pair) except -1:
    pair[0] = <measure_t> PyCapsule_GetPointer(kernels[0], "fastopt.measure")
    pair[1] = <measure_t> PyCapsule_GetPointer(kernels[1], "fastopt.measure")
    return 0


cdef pair_t accumulate, finish, clip, remember, decay, shrink, project, sync, average
cdef measures_t norm
unpack(_passes.PASSES["accumulate"], accumulate)
unpack(_passes.PASSES["finish"], finish)
unpack(_passes.PASSES["clip"], clip)
unpack(_passes.PASSES["remember"], remember)
unpack(_passes.PASSES["decay"], decay)
unpack(_passes.PASSES["shrink"], shrink)
unpack(_passes.PASSES["project"], project)
unpack(_passes.PASSES["sync"], sync)
unpack(_passes.PASSES["average"], average)
unpack_measure(_passes.PASSES["norm"], norm)


cdef set IMMUTABLE = {bool, float, int, str, tuple, type(None)}


cdef class Rule:
    """An update rule: its kernels, and the state buffers they take after parameter and gradient.

    Parameters
    ----------
    kernels : pair of capsules
        An entry of ``_rules.RULES``.
    *state : str
        Names of buffers, zero at the start. One that begins with an underscore is scratch, and not saved.
    start : pair of capsules, optional
        A pass over the whole parameter before its first update.
    measure : pair of capsules, optional
        An entry of ``_rules.RULES``: a pass before the rule, which sums over chunks.
    settle : capsule, optional
        An entry of ``_rules.SETTLES``: turns the sums of a tensor, or with `joint` of its group, into scalars.
    joint : bool, default False
    whole : bool, default False
        A tensor is one chunk: the rule sees all of it at once.
    prologue : callable, optional
        ``prologue(group, param, gradient, scale, l2, state)``: computes scratch before anything is changed.
    """
    cdef readonly tuple state
    cdef readonly object prologue
    cdef bint has_start, has_measure, joint, whole
    cdef pair_t update, start
    cdef measures_t measure
    cdef settle_t settle

    def __init__(
        self, kernels, *state, start=None, measure=None, settle=None, bint joint=False, bint whole=False, prologue=None
    ):
        if len(state) > PENDING - 2:
            raise ValueError(f"a rule has at most {PENDING - 2} state buffers, not {len(state)}")
        self.state = state
        self.prologue = prologue
        self.joint = joint
        self.whole = whole
        self.has_start = start is not None
        self.has_measure = measure is not None
        unpack(kernels, self.update)
        if self.has_start:
            unpack(start, self.start)
        if self.has_measure:
            unpack_measure(measure, self.measure)
            self.settle = <settle_t> PyCapsule_GetPointer(settle, "fastopt.settle")


cdef object foreign(object gradient, Py_ssize_t i):
    """A gradient that is not a float32 or float64 ndarray, as one; what cannot be a gradient is refused."""
    if not hasattr(gradient, "__array__"):
        raise TypeError(
            f"gradient {i} is of type {type(gradient).__name__}; a gradient is an array, or None to skip the parameter"
        )
    cdef object array = np.asarray(gradient)
    if array.dtype.kind != "f":
        raise TypeError(f"gradient {i} has dtype {array.dtype}; it must be real floating point")
    if type(array) is ndarray and dtype_of(array) in (FLOAT32, FLOAT64):
        return array
    return np.array(array, dtype=np.float32 if array.dtype.itemsize <= 4 else np.float64, subok=False)


cdef inline int enlist(recipe_t* recipe, int n, pair_t kernels) noexcept nogil:
    """Put a pass in place `n` of a recipe; the next place."""
    recipe.passes[0][n] = kernels[0]
    recipe.passes[1][n] = kernels[1]
    return n + 1


cdef object hyperparameters(dict group):
    return ", ".join(f"{name}={value!r}" for name, value in group.items() if name not in ("params", "param_names"))


def aligned_zeros(Py_ssize_t n, dtype):
    """A zeroed array of `n` elements that starts on a cache line."""
    cdef object raw = np.zeros(n * np.dtype(dtype).itemsize + 64, np.uint8)
    cdef Py_ssize_t start = -<Py_ssize_t> <size_t> array_of(raw).data & 63
    return raw[start:start + n * np.dtype(dtype).itemsize].view(dtype)


def resolved(dict group, Py_ssize_t taken):
    """The group with every callable replaced by its value after `taken` steps."""
    cdef dict values = dict(group)
    for name, value in group.items():
        if callable(value):
            values[name] = value(taken)
        elif type(value) in (tuple, list) and name not in ("params", "param_names"):
            values[name] = type(value)(item(taken) if callable(item) else item for item in value)
    return values


cdef class Plan:
    """The tensors of one parameter group, their step counts and state buffers, and how to update them.

    Parameters
    ----------
    params : list of ndarray
        Checked by the facade: float32 or float64, C-contiguous, aligned, writeable, none overlapping another.
    group : dict
        Hyperparameters; read anew at each step.
    owner : type
        The optimizer's class: ``_scalars``, ``_memory``, ``_by_shape``, ``_state_shape``, ``_own`` and ``_rows``.
    options : frozenset of str
        Names in a group of what all optimizers share.
    """
    cdef readonly list params
    cdef list shapes         # of the parameters, when the plan was made
    cdef readonly dict group
    cdef readonly dict buffers
    cdef object owner, scalars, options, own
    cdef tuple keys          # of the group, when last looked at,
    cdef tuple held          # its values,
    cdef bint unchanged      # whether they are those of the step before, and
    cdef bint optional       # whether there were options among them
    cdef bint called         # whether there are callables in the group
    cdef dict values         # the group of this step, without them
    cdef list rules          # that each tensor's state is arranged for
    cdef list bound          # the gradients
    cdef tuple kept          # what was accumulated before this step
    cdef bint by_shape, remembers, dense
    cdef Py_ssize_t steady   # from this step on the scalars depend on the group alone; 0 for never
    cdef bint lasting        # the recipe serves until the group changes
    cdef Py_ssize_t count
    cdef bint single         # has a float32 tensor, whose scalars must not overflow
    cdef bint grown          # has new buffers
    cdef bint due            # makes an update in this step
    cdef Py_ssize_t parts    # steps accumulated, with this one
    cdef Py_ssize_t taken    # of them, before this one
    cdef bint adds           # accumulates
    cdef bint settles        # has rules that measure
    cdef bint finite         # its gradients are
    cdef bint guarded        # is skipped if a gradient is not finite
    cdef double limit        # on the norm of the gradient
    cdef job_t job
    cdef tensor_t* tensor
    cdef recipe_t* recipe
    cdef recipe_t[3] adding  # the first gradient, a further one, none
    cdef void** table

    def __cinit__(self, list params, dict group, owner, options):
        cdef Py_ssize_t i
        cdef tensor_t* t
        self.count = len(params)
        self.params = params
        self.shapes = [param.shape for param in params]
        self.group = group
        self.buffers = {}
        self.owner = owner
        self.scalars = owner._scalars
        self.own = owner._own
        self.by_shape = owner._by_shape
        self.remembers = bool(owner._memory)
        self.dense = owner._dense
        self.steady = owner._steady
        self.options = options
        self.rules = [None] * self.count
        self.bound = [None] * self.count
        self.tensor = <tensor_t*> calloc(max(self.count, 1), sizeof(tensor_t))
        self.job.run = <run_t*> calloc(max(self.count, 1), sizeof(run_t))
        self.recipe = <recipe_t*> calloc(max(self.count, 1), sizeof(recipe_t))
        self.table = <void**> calloc(max(self.count, 1) * MAX_BUFFERS, sizeof(void*))
        if not (self.tensor and self.job.run and self.recipe and self.table):
            raise MemoryError
        dtype = group.get("state_dtype")
        for i in range(self.count):
            t = &self.tensor[i]
            t.param = array_of(params[i])
            t.n = size_of(t.param)
            t.type = dtype_of(params[i])
            t.state_type = t.type if dtype is None else np.dtype(dtype).num
            t.compute = max(t.type, t.state_type)
            self.single = self.single or FLOAT32 in (t.type, t.state_type)
            t.b = self.table + i * MAX_BUFFERS
            t.b[0] = array_of(params[i]).data
            self.start_memory(t)
        self.job.norm = norm
        self.job.clip = clip
        self.called = resolved(group, 0) != group
        self.begin()
        self.prepare()

    def __dealloc__(self):
        free(self.tensor)
        free(self.job.run)
        free(self.recipe)
        free(self.table)
        free(self.job.sums)

    cdef int start_memory(self, tensor_t* t) except -1:
        cdef Py_ssize_t j
        for j, value in enumerate(self.owner._memory.values()):
            t.memory[j] = value
        return 0

    def entry(self, Py_ssize_t i):
        """The state of tensor `i`: step count, scalars, live buffers; empty before its first gradient.

        Scalars may be shared with tensors that had theirs.
        """
        cdef tensor_t* t = &self.tensor[i]
        cdef dict memory = dict(zip(self.owner._memory, (t.memory[0], t.memory[1], t.memory[2], t.memory[3])))
        if not (t.steps or t.pending or memory != self.owner._memory):
            return {}
        state = {"step": t.steps}
        if t.pending:
            state["accumulated"] = t.pending
        state.update(memory)
        for name, buffers in self.buffers.items():
            if not name.startswith("_") and buffers[i] is not None:
                state[name] = buffers[i]
        return state

    @property
    def accumulated(self):
        """Steps since the last update, where gradients are accumulated."""
        return self.taken

    cdef object snapshot(self):
        cdef list scalars = []
        cdef tensor_t* t
        for i in range(self.count):
            t = &self.tensor[i]
            scalars.append((t.steps, t.pending, [t.memory[j] for j in range(MEMORY)]))
        return dict(self.group), self.taken, scalars, self.buffers

    cdef int restore(self, dict group, Py_ssize_t taken, list scalars, dict buffers) except -1:
        """Replace hyperparameters, counts and state; what `buffers` lacks starts afresh when a rule asks for it."""
        cdef Py_ssize_t i, j
        cdef tensor_t* t
        self.group.clear()
        self.group.update(group)
        self.taken = taken
        self.buffers = buffers
        self.lasting = False
        for i in range(self.count):
            t = &self.tensor[i]
            t.steps, t.pending, memory = scalars[i]
            self.start_memory(t)
            for j in range(len(memory)):
                t.memory[j] = memory[j]
            for j in range(2, MAX_BUFFERS):
                t.b[j] = NULL
            self.rules[i] = None
        for name, slot in (("grad_sum", PENDING), ("slow", SLOW), ("average", AVERAGE)):
            if name in buffers:
                self.place(slot, buffers[name])
        return 0

    def fresh(self, name):
        """One buffer a tensor, contiguous with its neighbor's wherever the parameters are.

        Zero, but for slow weights and averages, which start as the parameter.
        None for a tensor whose rule, chosen by its shape, has no such buffer.
        """
        cdef Py_ssize_t i, end
        cdef tensor_t* t
        cdef list starts = []
        cdef dict total = {FLOAT32: 0, FLOAT64: 0}
        cdef bint common = name in ("grad_sum", "slow", "average")
        if self.by_shape and not common:
            shapes = [self.owner._state_shape(name, shape) for shape in self.shapes]
            return [
                None if shape is None else aligned_zeros(int(np.prod(shape)), param.dtype).reshape(shape)
                for shape, param in zip(shapes, self.params)
            ]
        types = [self.tensor[i].type if common else self.tensor[i].state_type for i in range(self.count)]
        for i in range(self.count):
            t = &self.tensor[i]
            end = total[types[i]]
            if i and not adjoin((t - 1).b[0], t.b[0], (t - 1).n * width_of((t - 1).type)):
                end = (end + 15) // 16 * 16
            starts.append(end)
            total[types[i]] = end + t.n
        flat = {
            FLOAT32: aligned_zeros(total[FLOAT32], np.float32), FLOAT64: aligned_zeros(total[FLOAT64], np.float64),
        }
        buffers = [
            flat[types[i]][starts[i]:starts[i] + self.tensor[i].n].reshape(self.params[i].shape)
            for i in range(self.count)
        ]
        if name in ("slow", "average"):
            for buffer, param in zip(buffers, self.params):
                buffer[...] = param
        return buffers

    cdef void place(self, Py_ssize_t slot, list buffers):
        cdef Py_ssize_t i
        for i in range(self.count):
            self.tensor[i].b[slot] = NULL if buffers[i] is None else array_of(buffers[i]).data

    cdef int grow(self, str name, Py_ssize_t slot) except -1:
        """Give an option its buffers."""
        if name in self.buffers:
            return 0
        buffers = self.fresh(name)
        self.buffers[name] = buffers
        self.place(slot, buffers)
        self.grown = True
        return 0

    cdef int arrange(self, Rule rule, Py_ssize_t first, Py_ssize_t last) except -1:
        """Take up `rule` for the tensors [first, last): the addresses of its state.

        The rules that a tensor goes through have the same state under the same names.
        """
        cdef Py_ssize_t i, j
        cdef str name
        cdef list buffers
        cdef tensor_t* t
        for name in rule.state:
            if name not in self.buffers:
                self.buffers[name] = self.fresh(name)
                self.grown = True
        for j, name in enumerate(rule.state):
            buffers = self.buffers[name]
            for i in range(first, last):
                self.tensor[i].b[2 + j] = array_of(buffers[i]).data
        for i in range(first, last):
            t = &self.tensor[i]
            t.width = 2 + len(rule.state)
            t.whole = rule.whole
            self.rules[i] = rule
        return 0

    cdef int examine(self) except -1:
        """Note whether the group has options, and whether its values are the very objects they were: both cheaply."""
        cdef Py_ssize_t position = 0, i = 0
        cdef PyObject* key
        cdef PyObject* value
        self.unchanged = True
        if self.keys is not None and len(self.group) == len(self.keys):
            while PyDict_Next(self.group, &position, &key, &value) and key == <PyObject*> self.keys[i]:
                self.unchanged = self.unchanged and value == <PyObject*> self.held[i]
                i += 1
                if i == len(self.keys):
                    if not self.unchanged:
                        self.held = tuple(self.group.values())
                    return 0
        self.unchanged = False
        self.keys = tuple(self.group)
        self.held = tuple(self.group.values())
        self.optional = not self.options.isdisjoint(self.keys)
        return 0

    cdef bint lasts(self):
        """Whether the recipe just written serves as long as the group stays as it is."""
        if not self.unchanged or self.optional or self.called or self.recipe.settle != NULL:
            return False
        if self.count == 0 or not 0 < self.steady <= self.tensor[0].steps + 1:
            return False
        for key, value in zip(self.keys, self.held):
            if type(value) not in IMMUTABLE and key not in ("params", "param_names"):
                return False
        return True

    cdef int compose(self, recipe_t* recipe, dict group, Py_ssize_t i) except -1:
        """Work out the next step of tensor `i`, which may stand for many."""
        cdef Rule rule
        cdef tuple own, memory = ()
        cdef tensor_t* t = &self.tensor[i] if self.count else NULL
        cdef Py_ssize_t j, step = 1 + (t.steps if t else 0)
        cdef double* k = recipe.k
        cdef double check = 0
        cdef int n = 0
        cdef object weight_decay
        if not (self.remembers or self.by_shape):
            rule, own = self.scalars(group, step)
        else:
            arguments = (group, step)
            if self.remembers:
                arguments += (tuple([t.memory[j] if t else 0 for j in range(len(self.owner._memory))]),)
            if self.by_shape:
                arguments += (self.shapes[i] if t else (),)
            answer = self.scalars(*arguments)
            rule, own = answer[0], answer[1]
            if self.remembers:
                memory = answer[2]
        if len(own) > MAX_SCALARS - COMMON:
            raise ValueError(f"a rule has at most {MAX_SCALARS - COMMON} scalars, not {len(own)}")
        k[SCALE] = -1 if group["maximize"] else 1
        k[L2] = 0
        k[DECAY] = 1
        k[CLIP] = INFINITY
        k[THRESHOLD] = 0
        k[LOW] = -INFINITY
        k[HIGH] = INFINITY
        k[SYNC] = -1
        k[WEIGHT] = 0
        weight_decay = group.get("weight_decay")
        if weight_decay and ("weight_decay" not in self.own or "decay_mode" in group and "decay_mode" not in self.own):
            if group.get("decay_mode", "decoupled" if group.get("decoupled_weight_decay") else "l2") == "decoupled":
                k[DECAY] = 1 - <double> group["lr"] * <double> weight_decay
            else:
                k[L2] = weight_decay
        if self.optional:
            self.read(k, group, step)
        for j in range(len(own)):
            k[COMMON + j] = own[j]
        for j in range(len(memory)):
            recipe.memory[j] = memory[j]
        for j in range(COMMON + len(own)):
            if j != CLIP and j != LOW and j != HIGH:
                check += (<double> <float> k[j] if self.single else k[j]) * 0
        if check != 0:
            for j in range(len(memory)):
                if memory[j] * 0 != 0:
                    name = list(self.owner._memory)[j]
                    raise ValueError(f"{name!r} in the state of a parameter has become {memory[j]}: load a sound state")
            raise ValueError(f"a hyperparameter is not finite: {hyperparameters(self.group)}")
        if self.by_shape:
            if t and rule is not self.rules[i]:
                self.arrange(rule, i, i + 1)
        elif self.count and rule is not self.rules[0]:
            self.arrange(rule, 0, self.count)
        recipe.settle = rule.settle if rule.has_measure else NULL
        recipe.joint = rule.joint
        if step == 1 and t and t.b[SLOW] != NULL:
            n = enlist(recipe, n, remember)
        if step == 1 and rule.has_start:
            n = enlist(recipe, n, rule.start)
        recipe.starts = n
        if k[DECAY] != 1:
            n = enlist(recipe, n, decay)
        recipe.before = n if rule.has_measure else 0
        recipe.measure[0] = rule.measure[0]
        recipe.measure[1] = rule.measure[1]
        n = enlist(recipe, n, rule.update)
        if k[THRESHOLD] != 0:
            n = enlist(recipe, n, shrink)
        if k[LOW] > -INFINITY or k[HIGH] < INFINITY:
            n = enlist(recipe, n, project)
        if k[SYNC] >= 0:
            n = enlist(recipe, n, sync)
        if k[WEIGHT] != 0:
            n = enlist(recipe, n, average)
        recipe.count = n
        return 0

    cdef int read(self, double* k, dict group, Py_ssize_t step) except -1:
        """The options, as scalars."""
        cdef object value, low, high
        cdef Py_ssize_t every, since
        value = group.get("clip_value")
        if value is not None:
            k[CLIP] = value
        value = group.get("l1")
        if value and "l1" not in self.own:
            k[THRESHOLD] = <double> group["lr"] * <double> value
        value = group.get("bounds")
        if value is not None:
            low, high = value
            if low is not None:
                k[LOW] = low
            if high is not None:
                k[HIGH] = high
        if not (k[CLIP] >= 0 and k[LOW] <= k[HIGH]):
            raise ValueError(f"no step can be made with {hyperparameters(self.group)}")
        value = group.get("lookahead")
        if value is not None:
            every = value[0]
            if every < 1:
                raise ValueError(f"no step can be made with {hyperparameters(self.group)}")
            self.grow("slow", SLOW)
            if step % every == 0:
                k[SYNC] = value[1]
        value = group.get("ema")
        if value is not None:
            self.grow("average", AVERAGE)
            k[WEIGHT] = 1 - <double> value
            if step == 1:
                k[WEIGHT] = 1
        value = group.get("swa_start")
        if value is not None:
            every = group.get("swa_every", 1)
            if every < 1:
                raise ValueError(f"no step can be made with {hyperparameters(self.group)}")
            self.grow("average", AVERAGE)
            since = step - <Py_ssize_t> value
            if since >= 0 and since % every == 0:
                k[WEIGHT] = 1 / (1 + <double> (since // every))
        return 0

    cdef int write(self, recipe_t* recipe, Py_ssize_t i) except -1:
        """Work out the next step of tensor `i`, or say in words why it cannot be made."""
        cdef Py_ssize_t taken = self.tensor[i].steps if self.count else 0
        try:
            self.values = self.current(taken)
            try:
                self.compose(recipe, self.values, i)
            except TypeError:
                if not self.surprised(taken):
                    raise
                self.values = self.current(taken)
                self.compose(recipe, self.values, i)
        except ArithmeticError as error:
            raise ValueError(f"no step can be made with {hyperparameters(self.group)}: {error}") from error
        return 0

    cdef bint alike(self, const tensor_t* a, const tensor_t* b) noexcept nogil:
        cdef int j
        if a.steps != b.steps:
            return False
        if self.remembers:
            for j in range(MEMORY):
                if a.memory[j] != b.memory[j]:
                    return False
        return True

    cdef int prepare(self) except -1:
        """Work out how each tensor makes its next step: once for all, unless they differ."""
        cdef Py_ssize_t i, j
        cdef tensor_t* t
        cdef bint uniform = not self.by_shape
        cdef dict seen
        if uniform:
            for i in range(1, self.count):
                if not self.alike(&self.tensor[i], self.tensor):
                    uniform = False
                    break
        if uniform:
            if self.lasting and self.unchanged:
                return 0
            self.write(self.recipe, 0)
            self.lasting = self.lasts()
            for i in range(self.count):
                self.tensor[i].recipe = self.recipe
        else:
            self.lasting = False
            seen = {}
            for i in range(self.count):
                t = &self.tensor[i]
                if self.by_shape:
                    j = i
                else:
                    j = seen.setdefault((t.steps, t.memory[0], t.memory[1], t.memory[2], t.memory[3]), i)
                t.recipe = self.recipe + j
                if i == j:
                    self.write(self.recipe + j, i)
        self.settles = False
        for i in range(self.count):  # scalars that depend on a tensor's sums are its own
            t = &self.tensor[i]
            self.settles = self.settles or t.recipe.settle != NULL
            if t.recipe != self.recipe + i and t.recipe.settle != NULL and not t.recipe.joint:
                self.recipe[i] = t.recipe[0]
                t.recipe = self.recipe + i
        return 0

    cdef dict current(self, Py_ssize_t taken):
        """The group without callables."""
        return resolved(self.group, taken) if self.called else self.group

    cdef bint surprised(self, Py_ssize_t taken) except -1:
        """Whether a calculation failed because there are callables in the group, as was not known before."""
        if self.called:
            return False
        self.called = resolved(self.group, taken) != self.group
        return self.called

    cdef int begin(self) except -1:
        """What the options say of this step as a whole."""
        cdef Py_ssize_t taken = self.tensor[0].steps if self.count else 0
        self.examine()
        self.adds = False
        self.due = True
        self.guarded = False
        self.limit = INFINITY
        if not (self.optional or self.taken):
            return 0
        try:
            self.look(self.current(taken))
        except TypeError:
            if not self.surprised(taken):
                raise
            self.look(self.current(taken))
        return 0

    cdef int look(self, dict values) except -1:
        cdef Py_ssize_t i, parts
        parts = values.get("accumulate", 1)
        self.adds = parts != 1 or self.taken > 0
        self.due = self.taken + 1 >= parts
        if self.adds:
            self.parts = self.taken + 1
            self.grow("grad_sum", PENDING)
            for i in range(3):
                self.adding[i].k[0] = i == 0
                self.adding[i].k[1] = self.parts if self.due else 1
                self.adding[i].k[CLIP] = INFINITY
                self.adding[i].count = 1
                enlist(&self.adding[i], 0, accumulate)
            enlist(&self.adding[2], 0, finish)
        self.guarded = values.get("skip_nonfinite", False)
        if values.get("clip_norm") is not None:
            self.limit = values["clip_norm"]
            if not self.limit >= 0:
                raise ValueError(f"no step can be made with {hyperparameters(self.group)}")
        return 0

    cdef int bind(self, tuple gradients, Py_ssize_t first, Span span, list kept) except -1:
        """Check the gradients of this group, gradients[first:first + count], and note where they are."""
        cdef Py_ssize_t i
        cdef object gradient
        cdef const array_t* p
        cdef const array_t* g
        cdef tensor_t* t
        cdef int source
        cdef bint direct, clipped
        for i in range(self.count):
            t = &self.tensor[i]
            p = t.param
            if p.data != t.b[0] or size_of(p) != t.n or (p.flags & UPDATABLE) != UPDATABLE or (
                self.by_shape and self.params[i].shape != self.shapes[i]
            ):
                raise ValueError(
                    f"parameter {first + i} was moved, resized, reshaped or made read-only since the optimizer was built"
                )
            if t.rows != NULL:
                t.b[1] = NULL
            t.rows = NULL
            t.size = t.n
            gradient = gradients[first + i]
            t.active = gradient is not None
            if not t.active:
                continue
            if not PyObject_TypeCheck(gradient, ndarray) or dtype_of(gradient) not in (FLOAT32, FLOAT64):
                converted = self.owner._rows(gradient, self.params[i], first + i, self.group)
                if type(converted) is tuple:
                    self.bind_rows(t, converted, first + i, span, kept)
                    continue
                gradient = foreign(gradient if converted is None else converted, first + i)
                kept.append(gradient)
            if not self.dense:
                raise RuntimeError(
                    f"{self.owner.__name__} does not support dense gradients, please consider Adam instead"
                )
            g = array_of(gradient)
            source = dtype_of(gradient)
            if not same_shape(g, p):
                raise ValueError(
                    f"gradient {first + i} has shape {gradient.shape}, its parameter {self.params[i].shape}"
                )
            direct = source == t.type and (g.flags & READABLE) == READABLE
            clipped = t.whole and not self.adds and t.recipe.k[CLIP] < INFINITY
            if direct and t.strided == NULL and g.data == t.b[1] and not t.whole:
                continue  # where it was in the step before, and clear of all that a step writes to
            if t.whole and (clipped or not direct):
                gradient = np.array(gradient, dtype=self.params[i].dtype, order="C", subok=False)
                if clipped:
                    t.b[1] = array_of(gradient).data
                    clip[t.type == FLOAT64](t.b, 0, t.n, t.recipe.k)
                direct = True
                kept.append(gradient)
            elif span.meets(g, width_of(source)):
                gradient = np.array(gradient, order="C", subok=False)
                kept.append(gradient)
                direct = source == t.type
            g = array_of(gradient)
            self.bound[i] = gradient if t.whole else None
            t.source = dtype_of(gradient)
            t.b[1] = g.data
            t.strided = NULL
            if not direct:
                t.strided = g
        return 0

    cdef int bind_rows(self, tensor_t* t, tuple sparse, Py_ssize_t i, Span span, list kept) except -1:
        """Note a gradient that touches some rows: their numbers, ascending, and their values."""
        rows, values = sparse
        if self.adds or self.by_shape or t.recipe.settle != NULL or "average" in self.buffers or (
            "slow" in self.buffers
        ):
            raise ValueError(
                f"gradient {i} is sparse, which neither a rule that looks at whole tensors nor accumulation or "
                "averaging can use: pass it dense, or set sparse='dense'"
            )
        if span.meets(array_of(values), width_of(dtype_of(values))):
            values = values.copy()
        kept += [rows, values]
        t.rows = <const Py_ssize_t*> array_of(rows).data
        t.size = values.size
        t.block = values.size // max(len(rows), 1)
        t.source = dtype_of(values)
        t.strided = NULL
        t.b[1] = array_of(values).data
        return 0

    cdef void forget(self) noexcept:
        """Check every gradient afresh: there is more memory now that it could meet."""
        cdef Py_ssize_t i
        self.grown = False
        for i in range(self.count):
            self.tensor[i].b[1] = NULL

    cdef void merge(self) noexcept nogil:
        list_runs(&self.job, self.tensor, self.count, self.measured(), self.adds and not self.due)

    cdef bint measured(self) noexcept nogil:
        return self.guarded or self.limit < INFINITY or self.settles

    cdef int reserve(self) except -1:
        """Room for the sums of every chunk."""
        cdef Py_ssize_t i, chunks = 0
        if self.measured() and self.job.sums == NULL:
            for i in range(self.count):
                chunks += chunks_in(self.tensor[i].n)
            self.job.sums = <double*> calloc(max(chunks, 1) * SUMS, sizeof(double))
            if self.job.sums == NULL:
                raise MemoryError
        return 0

    cdef void take(self, phase_t phase, Py_ssize_t threads) noexcept:
        """Go through `phase` with up to `threads` threads."""
        self.job.phase = phase
        if self.job.elements >= NOGIL_MIN:
            with nogil:
                share(work, <void*> &self.job, self.job.chunks, LARGE, threads if self.job.elements >= THREAD_MIN else 1)
        else:
            work(<void*> &self.job, 0, self.job.chunks)

    cdef double gradient_norm(self, Py_ssize_t threads) noexcept:
        """The 2-norm of the gradients of this group, safe from over- and underflow; notes whether they are finite."""
        cdef double sums[SUMS]
        self.job.factor = 1
        self.finite = True
        if self.job.runs == 0:
            return 0
        self.take(NORM, threads)
        total(&self.job, 0, self.job.runs, sums)
        if sums[1] == 0 and not (1e-280 < sums[0] < INFINITY):
            self.job.factor = 2.0**600 if sums[0] < 1 else 2.0**-600
            self.take(NORM, threads)
            total(&self.job, 0, self.job.runs, sums)
        self.finite = sums[1] == 0
        return sqrt(sums[0]) / self.job.factor

    cdef void scale(self, double factor) noexcept:
        cdef Py_ssize_t i
        for i in range(self.count):
            if self.tensor[i].recipe == self.recipe + i:
                self.recipe[i].k[SCALE] *= factor

    cdef void add_up(self, Py_ssize_t threads) noexcept:
        """Add this step's gradients to the sum; if it is complete, its mean becomes the gradient."""
        cdef Py_ssize_t i
        cdef tensor_t* t
        for i in range(self.count):
            t = &self.tensor[i]
            t.adding = &self.adding[2 if not t.active else 0 if t.pending == 0 else 1]
            t.pending += t.active
            if self.due and t.pending:
                t.active = True
                if t.adding == &self.adding[2]:
                    t.strided = NULL
                    t.source = t.type
                    t.b[1] = t.b[PENDING]
        self.merge()
        self.take(ADD, threads)
        self.taken = self.parts
        if self.due:
            for i in range(self.count):
                t = &self.tensor[i]
                t.strided = NULL
                t.source = t.type
                t.adding = NULL
                t.b[1] = t.b[PENDING]
                if t.active and t.whole:
                    self.bound[i] = <object> (<list> self.buffers["grad_sum"])[i]
                    if t.recipe.k[CLIP] < INFINITY:
                        clip[t.type == FLOAT64](t.b, 0, t.n, t.recipe.k)
            self.merge()

    cdef int keep_sums(self) except -1:
        """Make it possible to undo `add_up`, where the step can still fail after it: in a prologue."""
        if self.by_shape:
            self.kept = (
                self.taken, [self.tensor[i].pending for i in range(self.count)],
                [buffer.copy() for buffer in self.buffers["grad_sum"]],
            )
        return 0

    cdef int take_back(self) except -1:
        """Undo `add_up`."""
        cdef Py_ssize_t i
        if self.kept is not None:
            self.taken, pending, sums = self.kept
            for i in range(self.count):
                self.tensor[i].pending = pending[i]
                self.tensor[i].b[1] = NULL
                self.buffers["grad_sum"][i][...] = sums[i]
            self.kept = None
        return 0

    cdef int prologue(self) except -1:
        cdef Py_ssize_t i
        cdef Rule rule
        cdef tensor_t* t
        for i in range(self.count):
            t = &self.tensor[i]
            rule = self.rules[i]
            if t.active and rule.prologue is not None:
                state = {name: self.buffers[name][i] for name in rule.state}
                rule.prologue(
                    resolved(self.group, t.steps), self.params[i], self.bound[i], t.recipe.k[SCALE], t.recipe.k[L2],
                    state,
                )
        return 0

    cdef void update(self, Py_ssize_t threads) noexcept:
        """Run every pass over every chunk, with up to `threads` threads; this cannot fail."""
        cdef Py_ssize_t i, j
        cdef tensor_t* t
        cdef double sums[SUMS]
        for i in range(self.count):
            t = &self.tensor[i]
            if t.active and t.rows != NULL and t.steps == 0 and t.recipe.starts:
                self.job.phase = START
                pass_over(&self.job, t, 0, t.n, 0)
        if not self.settles:
            self.take(ALL, threads)
        elif self.job.runs:
            self.take(BEFORE, threads)
            if self.recipe.joint:
                total(&self.job, 0, self.job.runs, sums)
                for i in range(self.count):
                    if self.tensor[i].recipe == self.recipe + i:
                        self.recipe[i].settle(sums, self.recipe[i].k, self.recipe[i].memory)
            else:
                for i in range(self.job.runs):
                    t = self.job.run[i].tensor
                    if t.recipe.settle != NULL:
                        total(&self.job, i, i + 1, sums)
                        t.recipe.settle(sums, t.recipe.k, t.recipe.memory)
            self.take(UPDATE, threads)
        for i in range(self.count):
            t = &self.tensor[i]
            t.steps += t.active
            if t.active or (t.recipe.joint and self.job.runs):
                for j in range(MEMORY):
                    t.memory[j] = t.recipe.memory[j]
        self.close()

    cdef void close(self) noexcept:
        """The accumulated gradients are used, or dropped."""
        cdef Py_ssize_t i
        self.taken = 0
        self.kept = None
        for i in range(self.count):
            self.tensor[i].pending = 0
            if self.adds:
                self.tensor[i].b[1] = NULL
            if self.by_shape:
                self.bound[i] = None


cdef void work(void* job, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    work_on(<const job_t*> job, start, stop)
