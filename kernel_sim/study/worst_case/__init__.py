"""How much memory a policy needs in the worst case: a game between the one who asks and the one who places.

The requester allocates and frees as it likes, but never has more than N frames live and asks only for certain sizes. It wins when a request
that it may make cannot be served. The policy needs a memory in which it never loses.

    game         the rules, and the operations as text: ``a:3`` takes 3 frames into the next slot, ``f:0`` frees slot 0
    layouts      a memory as two words of bits, and a set of such
    compact      the exact answer for the fits and for address-ordered buddies: breadth first over all layouts that can come to pass, compiled
    generic      the exact answer for any policy, plain classes included: the same search over copies of a real manager
    optimal      the exact answer for the best allocator there can be: the game solved backwards
    smallest     the smallest memory, by one of these
    adversaries  requesters of the literature for games too large to be searched
    bounds       what is proved, and where
"""
