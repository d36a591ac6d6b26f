------------------------------ MODULE Settling ------------------------------
(* One lane, one Scylla partition of two rows. The log shows a write at any time, behind the
   frontier or before it; the base table shows it at any other time. The fast reading publishes,
   settling passes find what was late, refreshes publish what the base holds. A worker may crash
   between any two steps. At rest every write was published once and the sink equals the base.

   The sink applies what is published in order and at once: a partition's records are in order, and
   Sink.tla is about the rest. A write has a time, and the servers' rule is last write wins, where a
   delete wins a tie. Steps of the real passes that only add refreshes are left out, but for the
   requests from outside (Asks), which may come at any time.

   Each rule of the design is a constant. tests/model switches each off and expects an error. *)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    Writes, Times, Asks, Crashes, \* sizes
    Snapshot,        \* whether the pipeline begins with a snapshot
    LaneStops,       \* rule 2: between a refresh's read and its commit the lane publishes nothing
    CauseIsSaved,    \* rule 2: a refresh whose cause the source found is written with the cause
    WholeScope,      \* rule 3: a late row refreshes all that it touched
    TiesRefreshed,   \* rule 3: what tied writes touched in common is refreshed
    ClearFirst,      \* rule 3: a partition's refresh begins with its delete
    Repeated,        \* rule 4: a listed refresh is repeated by the settling pass of what it covers
    ListIsSaved,     \* rule 4: the list is in the transaction of its refresh
    Delayed,         \* rule 5: late rows are refreshed once more, a settle delay later
    DelayedAlways,   \* and not those of the last pass alone
    Assumption,      \* rule 6: log and base show a write in time
    PrintsAreSaved,  \* rule 9: fingerprints are in the transaction that publishes
    ReadBack,        \* rule 9: lost identities are read back, no window is published again
    StartUnsettled   \* rule 12: the log is read from a settle delay before the snapshot on

VARIABLES
    w,        \* the writes: kind, row, time
    log, base, \* which of them the log and the base table show
    F, S,     \* frontier and settled
    pub,      \* how often each was published
    first,    \* which of them by the fast reading
    sink,     \* by row: the write that it holds, 0 for none
    req,      \* scopes that are to be refreshed
    later,    \* late writes whose second refresh is to come
    known, exact, \* what the ledger counts, and whether it knows which these were
    listed,   \* by row: the frontier at its last refresh, 0 if that is settled
    reading,  \* the refresh between its read and its commit
    asks, crashes, snap

vars == <<w, log, base, F, S, pub, first, sink, req, later, known, exact, listed, reading,
          asks, crashes, snap>>

All == 1..Writes
Rows == {1, 2}
Whole == 0 \* the scope that is the partition
None == <<>>
End == Times + 1
Begin == IF Snapshot /\ ~StartUnsettled THEN 2 ELSE 1

Touched(i) == IF w[i].kind = "clear" THEN Rows ELSE {w[i].row}
ScopeOf(i) == IF w[i].kind = "clear" THEN Whole ELSE w[i].row
RowsOf(scope) == IF scope = Whole THEN Rows ELSE {scope}
At(t) == {i \in All : w[i].time = t}

Beats(i, j) ==
    \/ w[i].time > w[j].time
    \/ /\ w[i].time = w[j].time
       /\ \/ w[i].kind # "set" /\ w[j].kind = "set"
          \/ (w[i].kind = "set") = (w[j].kind = "set") /\ i > j

\* What a row is after some writes.
RowAfter(seen, r) ==
    LET on == {i \in seen : r \in Touched(i)}
    IN IF on = {} THEN 0
       ELSE LET top == CHOOSE i \in on : \A j \in on \ {i} : Beats(i, j)
            IN IF w[top].kind = "set" THEN top ELSE 0

\* A delta on what the sink has.
Apply(rows, i) ==
    [r \in Rows |-> IF r \notin Touched(i) THEN rows[r] ELSE IF w[i].kind = "set" THEN i ELSE 0]

RECURSIVE ApplyAll(_, _)
ApplyAll(rows, order) ==
    IF order = <<>> THEN rows ELSE ApplyAll(Apply(rows, Head(order)), Tail(order))

Orders(set) ==
    {o \in [1..Cardinality(set) -> set] : \A a, b \in DOMAIN o : a # b => o[a] # o[b]}

Canonical(ws) ==
    /\ \A i \in 1..(Writes - 1) : ws[i].time <= ws[i + 1].time
    /\ ws[1].time = 1
    /\ \A i \in 1..(Writes - 1) : ws[i + 1].time - ws[i].time <= 1
    \* Rows are alike: the first write is on row 1. The row of a clear is what a refresh would read
    \* that does not know rule 3.
    /\ \A i \in All : ws[i].kind = "clear" => ws[i].row = 2
    /\ ws[1].kind # "clear" => ws[1].row = 1

Init ==
    /\ w \in {ws \in [All -> [kind : {"set", "delete", "clear"}, row : Rows, time : 1..Times]] :
                Canonical(ws)}
    /\ log = {} /\ base = {}
    /\ F = Begin /\ S = Begin
    /\ pub = [i \in All |-> 0] /\ first = {}
    /\ sink = [r \in Rows |-> 0]
    /\ req = {} /\ later = {}
    /\ known = {} /\ exact = TRUE
    /\ listed = [r \in Rows |-> 0]
    /\ reading = None
    /\ asks = Asks /\ crashes = Crashes
    /\ snap = Snapshot

\* ScyllaDB.

LogShows(i) ==
    /\ i \notin log
    /\ log' = log \cup {i}
    /\ UNCHANGED <<w, base, F, S, pub, first, sink, req, later, known, exact, listed, reading, asks,
                   crashes, snap>>

BaseShows(i) ==
    /\ i \notin base
    /\ base' = base \cup {i}
    /\ UNCHANGED <<w, log, F, S, pub, first, sink, req, later, known, exact, listed, reading, asks,
                   crashes, snap>>

\* The source.

MayPublish == reading = None \/ ~LaneStops

Publish(set) ==
    /\ pub' = [i \in All |-> IF i \in set THEN pub[i] + 1 ELSE pub[i]]
    /\ known' = known \cup set

TiedScopes(set) ==
    {ScopeOf(i) : i \in {j \in set : \E k \in set \ {j} : Touched(k) \cap Touched(j) # {}}}

Fast ==
    /\ MayPublish /\ F < End
    /\ LET seen == At(F) \cap log
       IN /\ \E order \in Orders(seen) : sink' = ApplyAll(sink, order)
          /\ Publish(seen)
          /\ first' = first \cup seen
          /\ req' = IF TiesRefreshed THEN req \cup TiedScopes(seen) ELSE req
    /\ F' = F + 1
    /\ UNCHANGED <<w, log, base, S, later, exact, listed, reading, asks, crashes, snap>>

\* What a pass takes for late. Without exact identities a count that differs tells no more.
Late(t) ==
    LET seen == At(t) \cap log
    IN IF exact THEN seen \ known ELSE IF seen \subseteq known THEN {} ELSE seen

LateScope(i) == IF WholeScope THEN ScopeOf(i) ELSE w[i].row
LateScopes(set) == {LateScope(i) : i \in set}

\* Late rows are published with a mark, by which the sink skips them.
FirstPass(t) ==
    /\ MayPublish /\ S <= t /\ t < F
    /\ Late(t) # {}
    /\ Publish(Late(t))
    /\ req' = req \cup LateScopes(Late(t))
    /\ later' = IF Delayed /\ DelayedAlways THEN later \cup Late(t) ELSE later
    /\ UNCHANGED <<w, log, base, F, S, first, sink, exact, listed, reading, asks, crashes, snap>>

LastPass ==
    /\ MayPublish /\ S < F
    /\ Assumption => At(S) \subseteq log /\ At(S) \cap first \subseteq base
    /\ LET late == Late(S)
           before == (At(S) \cap log) \ late
           again == {ScopeOf(i) : i \in {j \in before : \E r \in Touched(j) : listed[r] > S}}
       IN /\ Publish(late)
          /\ req' = req \cup LateScopes(late) \cup (IF Repeated THEN again ELSE {})
          /\ later' = IF Delayed THEN later \cup late ELSE later
    /\ S' = S + 1
    /\ listed' = [r \in Rows |-> IF listed[r] <= S + 1 THEN 0 ELSE listed[r]]
    /\ UNCHANGED <<w, log, base, F, first, sink, exact, reading, asks, crashes, snap>>

\* A refresh: what the base shows now, to be published in a step of its own.
Read(scope, served, write) ==
    /\ reading = None
    /\ reading' = [scope |-> scope, rows |-> [r \in Rows |-> RowAfter(base, r)], at |-> F,
                   served |-> served, write |-> write]

ReadRequest(scope) ==
    /\ scope \in req
    /\ Read(scope, {scope}, 0)
    /\ UNCHANGED <<w, log, base, F, S, pub, first, sink, req, later, known, exact, listed, asks,
                   crashes, snap>>

ReadAsked(scope) ==
    /\ asks > 0
    /\ Read(scope, {}, 0)
    /\ asks' = asks - 1
    /\ UNCHANGED <<w, log, base, F, S, pub, first, sink, req, later, known, exact, listed, crashes,
                   snap>>

ReadLater(i) ==
    /\ i \in later
    /\ Assumption => i \in base
    /\ Read(LateScope(i), {}, i)
    /\ UNCHANGED <<w, log, base, F, S, pub, first, sink, req, later, known, exact, listed, asks,
                   crashes, snap>>

\* A snapshot is a refresh of everything, begun when the frontier is where it was asked for.
ReadSnapshot ==
    /\ snap /\ F >= 2
    /\ Read(Whole, {}, 0)
    /\ snap' = FALSE
    /\ UNCHANGED <<w, log, base, F, S, pub, first, sink, req, later, known, exact, listed, asks,
                   crashes>>

Refresh ==
    /\ reading # None
    /\ LET rows == RowsOf(reading.scope)
           stays(r) == reading.scope = Whole /\ reading.rows[r] = 0 /\ ~ClearFirst
       IN /\ sink' = [r \in Rows |->
                        IF r \notin rows \/ stays(r) THEN sink[r] ELSE reading.rows[r]]
          /\ listed' = [r \in Rows |->
                        IF r \in rows /\ reading.at > S THEN reading.at ELSE listed[r]]
    /\ req' = req \ reading.served
    /\ later' = later \ {reading.write}
    /\ reading' = None
    /\ UNCHANGED <<w, log, base, F, S, pub, first, known, exact, asks, crashes, snap>>

\* What was committed stays, and the next worker begins with it.
Crash ==
    /\ crashes > 0
    /\ crashes' = crashes - 1
    /\ reading' = None
    /\ req' = IF CauseIsSaved THEN req ELSE {}
    /\ later' = IF CauseIsSaved THEN later ELSE {}
    /\ listed' = IF ListIsSaved THEN listed ELSE [r \in Rows |-> 0]
    /\ known' = IF PrintsAreSaved THEN known ELSE {}
    /\ exact' = ReadBack
    /\ snap' = IF reading # None /\ Snapshot THEN TRUE ELSE snap
    /\ UNCHANGED <<w, log, base, F, S, pub, first, sink, asks>>

AtRest ==
    /\ log = All /\ base = All
    /\ F = End /\ S = End
    /\ req = {} /\ later = {} /\ reading = None /\ ~snap

\* Everything but this ends in a state at rest: TLC reports any other state without a step.
Rest == AtRest /\ UNCHANGED vars

Next ==
    \/ \E i \in All : LogShows(i) \/ BaseShows(i) \/ ReadLater(i)
    \/ \E t \in 1..Times : FirstPass(t)
    \/ \E scope \in {Whole, 1, 2} : ReadRequest(scope)
    \/ \E scope \in {Whole, 1} : ReadAsked(scope)
    \/ Fast \/ LastPass \/ ReadSnapshot \/ Refresh \/ Crash \/ Rest

Spec == Init /\ [][Next]_vars

NoDuplicate == \A i \in All : pub[i] <= 1
NoLoss == AtRest => \A i \in All : w[i].time >= Begin => pub[i] = 1
Converges == AtRest => \A r \in Rows : sink[r] = RowAfter(All, r)
=============================================================================
