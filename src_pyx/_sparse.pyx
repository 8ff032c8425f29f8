# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Sparse gradients as the engine takes them: each row once, in ascending order."""
import numpy as np

from libc.string cimport memcpy, memset

from _core cimport FLOAT64, array_of, dtype_of, real

cdef enum:
    DIGIT = 11  # bits that a pass sorts by: its counters fill half of L1


cdef void sort_by_digit(
    const Py_ssize_t* rows, const Py_ssize_t* order, Py_ssize_t* rows_out, Py_ssize_t* order_out, Py_ssize_t n,
    int shift,
) noexcept nogil:
    """One pass of a radix sort, which keeps the order of equals."""
    cdef Py_ssize_t[1 << DIGIT] place
    cdef Py_ssize_t i, j, count, total = 0
    memset(place, 0, sizeof(place))
    for i in range(n):
        place[(rows[i] >> shift) & ((1 << DIGIT) - 1)] += 1
    for i in range(1 << DIGIT):
        count = place[i]
        place[i] = total
        total += count
    for i in range(n):
        j = (rows[i] >> shift) & ((1 << DIGIT) - 1)
        rows_out[place[j]] = rows[i]
        order_out[place[j]] = order[i]
        place[j] += 1


cdef void add_equals(
    real* out, const real* values, Py_ssize_t* rows, const Py_ssize_t* order, Py_ssize_t n, Py_ssize_t block
) noexcept nogil:
    """Sum the values of equal rows, which are made unique."""
    cdef Py_ssize_t i, j, unique = -1
    cdef const real* value
    for i in range(n):
        value = values + order[i] * block
        if unique >= 0 and rows[unique] == rows[i]:
            for j in range(block):
                out[j] += value[j]
        else:
            out += block if unique >= 0 else 0
            unique += 1
            rows[unique] = rows[i]
            memcpy(out, value, block * sizeof(real))


def summed(indices, values, Py_ssize_t limit):
    """Row numbers, ascending and each once, and the sums of their values in the order in which these came.

    Parameters
    ----------
    indices : contiguous array of intp, shape (k,)
    values : contiguous array of float32 or float64, shape (k, ...)
        Returned itself where the indices ascend.
    limit : int
        The number of rows; IndexError for an index outside of it.
    """
    cdef Py_ssize_t i, index, before = -1, unique = 0, n = indices.shape[0]
    cdef Py_ssize_t block = values.size // max(n, 1)
    cdef int shift = 0, type = dtype_of(values)
    cdef bint ascending = True
    cdef const Py_ssize_t* given = <const Py_ssize_t*> array_of(indices).data
    rows = np.empty(n, np.intp)  # of our own, since whoever owns the indices may change them while they are in use
    cdef Py_ssize_t* row = <Py_ssize_t*> array_of(rows).data
    for i in range(n):
        index = given[i]
        if not 0 <= index < limit:
            raise IndexError(f"a gradient has a row {index}, its parameter {limit} rows")
        ascending &= index > before
        before = index
        row[i] = index
    if ascending:
        return rows, values
    order, rows_sorted, order_sorted = np.arange(n, dtype=np.intp), np.empty(n, np.intp), np.empty(n, np.intp)
    while (limit - 1) >> shift:
        sort_by_digit(
            <const Py_ssize_t*> array_of(rows).data, <const Py_ssize_t*> array_of(order).data,
            <Py_ssize_t*> array_of(rows_sorted).data, <Py_ssize_t*> array_of(order_sorted).data, n, shift,
        )
        rows, rows_sorted = rows_sorted, rows
        order, order_sorted = order_sorted, order
        shift += DIGIT
    row = <Py_ssize_t*> array_of(rows).data
    for i in range(n):
        unique += i == 0 or row[i] != row[i - 1]
    sums = np.empty((unique, *values.shape[1:]), values.dtype)
    cdef void* out = array_of(sums).data
    cdef const void* value = array_of(values).data
    cdef const Py_ssize_t* place = <const Py_ssize_t*> array_of(order).data
    with nogil:
        if type == FLOAT64:
            add_equals(<double*> out, <const double*> value, row, place, n, block)
        else:
            add_equals(<float*> out, <const float*> value, row, place, n, block)
    return rows[:unique], sums
