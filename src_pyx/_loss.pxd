# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The shape of a loss kernel.

A kernel works on n units, elements or rows. b holds its buffers: the value of each unit, then the gradients, the inputs
(elements, or rows of k[WIDTH]), what is one number a unit (class indices), and what all units share (class weights).
Row i of input j begins at i * k[STRIDE + j]; rows of gradients follow each other. If k[COLUMNS] is set, number c of unit
i is at c * n + i instead, of inputs and gradients: few classes vectorize over units only. All outputs are written, as
what the caller does not want goes to scratch memory. A kernel assumes what the facade has checked: aligned buffers of
one dtype. Its gradients carry the factor k[SCALE].
"""

ctypedef void (*loss_t)(void** b, Py_ssize_t n, const double* k) noexcept nogil

cdef enum:
    SCALE
    WIDTH
    COLUMNS
    STRIDE
    OWN = STRIDE + 3  # where the kernel's own scalars begin
    FEW = 32  # numbers of a row, below which a kernel that can is given columns
