------------------------------ MODULE Requests ------------------------------
(* Refreshes that are due at a time, in a compacted topic. Two cells of a row expire; the log never
   says so. The sink asks for a refresh at a cell's expiry. The server's clock, by which cells
   expire, may be behind that of the one who asked. Cell 2 is an element of a collection: no read
   shows when it expires, so the sink asks with that much in hand, and nobody asks again. *)
EXTENDS Integers, FiniteSets

CONSTANTS
    Skew, Others,  \* how far the server's clock is behind; refreshes for other reasons
    OwnIds,        \* rule 11: a request has an id of its own; serving removes those read before
    AsksAgain      \* rule 11: a refresh that still reads a cell with a TTL asks for its expiry

VARIABLES
    now, written,
    sink,          \* the cells that the target shows
    pending,       \* requests: id and time
    reading,       \* a refresh between its read and its commit
    fresh, others

vars == <<now, written, sink, pending, reading, fresh, others>>

Cells == {1, 2}
Expires(c) == c
Due(c) == IF c = 2 THEN Expires(c) + Skew ELSE Expires(c)
Readable(cells) == cells \ {2}
End == 3 + Skew
None == [cells |-> {}, ids |-> {}, at |-> -1]

Init ==
    /\ now = 0 /\ written = {} /\ sink = {} /\ pending = {} /\ reading = None
    /\ fresh = 1 /\ others = Others

\* With a row's own key a request replaces the one before.
Asked(requests, due) ==
    IF OwnIds THEN requests \cup {[id |-> fresh, due |-> due]} ELSE {[id |-> 0, due |-> due]}

Tick ==
    /\ now < End
    /\ now' = now + 1
    /\ UNCHANGED <<written, sink, pending, reading, fresh, others>>

\* The lane stands still during a refresh, so a change comes before it or after it.
Write(c) ==
    /\ now = 0 /\ c \notin written /\ reading = None
    /\ written' = written \cup {c}
    /\ sink' = sink \cup {c}
    /\ pending' = Asked(pending, Due(c))
    /\ fresh' = fresh + 1
    /\ UNCHANGED <<now, reading, others>>

Living == {c \in written : Expires(c) > now - Skew}

\* A request is consumed before the base is read.
Read ==
    /\ reading = None
    /\ LET due == {r \in pending : r.due <= now}
       IN /\ due # {}
          /\ reading' = [cells |-> Living, ids |-> {r.id : r \in due}, at |-> now]
    /\ UNCHANGED <<now, written, sink, pending, fresh, others>>

ReadOther ==
    /\ reading = None /\ others > 0
    /\ reading' = [cells |-> Living, ids |-> IF OwnIds THEN {} ELSE {0}, at |-> now]
    /\ others' = others - 1
    /\ UNCHANGED <<now, written, sink, pending, fresh>>

Latest(a, b) == IF a > b THEN a ELSE b
First(cells) == CHOOSE t \in {Expires(c) : c \in cells} : \A c \in cells : t <= Expires(c)

Refresh ==
    /\ reading # None
    /\ sink' = reading.cells
    /\ LET left == {r \in pending : r.id \notin reading.ids}
           due == Latest(First(Readable(reading.cells)), reading.at + 1)
           again == AsksAgain /\ Readable(reading.cells) # {}
                    /\ ~\E r \in left : r.due = due
       IN /\ pending' = IF again THEN Asked(left, due) ELSE left
          /\ fresh' = IF again THEN fresh + 1 ELSE fresh
    /\ reading' = None
    /\ UNCHANGED <<now, written, others>>

AtRest == now = End /\ pending = {} /\ reading = None

Rest == AtRest /\ UNCHANGED vars

Next == Tick \/ Read \/ ReadOther \/ Refresh \/ Rest \/ \E c \in Cells : Write(c)

Spec == Init /\ [][Next]_vars

ExpiredAreGone == AtRest => sink = {}
=============================================================================
