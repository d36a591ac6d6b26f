------------------------------- MODULE Lanes --------------------------------
(* One row, a switch of generation at time Switch that becomes known late, and one lane or two. The
   base table shows a write no later than the log: Settling.tla is about the other order.

   With rule 1 the row's lane is that of its partition's token, and stays. Without it a lane has the
   streams whose own token it holds: the old stream belongs to lane 1 and the new one to lane 2. *)
EXTENDS Integers, FiniteSets

CONSTANTS
    Writes, Times, Switch, Asks,
    LaneOfPartition, \* rule 1
    FreshList,       \* rule 7: nothing settles by a list of generations that is older than the pass
    LateGeneration,  \* rule 7: rows of a generation that was found late are late rows
    OldStreams       \* rule 7: old streams stay in settling, also for times after their end

VARIABLES
    w,          \* the writes: time, stream, kind
    log, base,
    knows,      \* whether the switch is known
    F, S,       \* by lane; 0 for a lane that has not begun
    pub, sink, req, reading, asks,
    newest, isDisordered \* of the row's changes that were published in order

vars == <<w, log, base, knows, F, S, pub, sink, req, reading, asks, newest, isDisordered>>

All == 1..Writes
Lanes == IF LaneOfPartition THEN {1} ELSE {1, 2}
End == Times + 1
Nothing == -1

After(seen) ==
    IF seen = {} THEN 0
    ELSE LET top == CHOOSE i \in seen : \A j \in seen : w[i].time > w[j].time \/ i >= j
         IN IF w[top].kind = "set" THEN top ELSE 0

\* Times differ: ties are Settling.tla's. A late-informed coordinator writes to the old stream.
Possible(ws) ==
    /\ \A i \in 1..(Writes - 1) : ws[i].time < ws[i + 1].time
    /\ \A i \in All : ws[i].time < Switch => ws[i].stream = "old"

Init ==
    /\ w \in {ws \in [All -> [time : 1..Times, stream : {"old", "new"}, kind : {"set", "delete"}]] :
                Possible(ws)}
    /\ log = {} /\ base = {} /\ knows = FALSE
    /\ F = [l \in Lanes |-> IF l = 1 THEN 1 ELSE 0]
    /\ S = F
    /\ pub = [i \in All |-> 0]
    /\ sink = 0 /\ req = {}
    /\ reading = [l \in Lanes |-> Nothing]
    /\ asks = Asks
    /\ newest = 0 /\ isDisordered = FALSE

BaseShows(i) ==
    /\ i \notin base
    /\ base' = base \cup {i}
    /\ UNCHANGED <<w, log, knows, F, S, pub, sink, req, reading, asks, newest, isDisordered>>

LogShows(i) ==
    /\ i \in base \ log
    /\ log' = log \cup {i}
    /\ UNCHANGED <<w, base, knows, F, S, pub, sink, req, reading, asks, newest, isDisordered>>

Learn ==
    /\ ~knows
    /\ knows' = TRUE
    /\ UNCHANGED <<w, log, base, F, S, pub, sink, req, reading, asks, newest, isDisordered>>

Begin(l) ==
    /\ l = 2 /\ F[l] = 0 /\ knows
    /\ F' = [F EXCEPT ![l] = Switch]
    /\ S' = [S EXCEPT ![l] = Switch]
    /\ UNCHANGED <<w, log, base, knows, pub, sink, req, reading, asks, newest, isDisordered>>

\* The stream that a lane's fast reading reads at a time.
StreamOf(l, t) ==
    IF LaneOfPartition THEN (IF knows /\ t >= Switch THEN "new" ELSE "old")
    ELSE IF l = 2 THEN "new" ELSE IF knows /\ t >= Switch THEN "none" ELSE "old"

IsFree(l) == F[l] # 0 /\ reading[l] = Nothing

Publish(set) == pub' = [i \in All |-> IF i \in set THEN pub[i] + 1 ELSE pub[i]]

Fast(l) ==
    /\ IsFree(l) /\ F[l] < End
    /\ LET t == F[l]
           seen == {i \in log : w[i].time = t /\ w[i].stream = StreamOf(l, t)}
       IN /\ Publish(seen)
          /\ sink' = IF seen = {} THEN sink ELSE After(seen)
          /\ newest' = IF seen = {} THEN newest ELSE t
          /\ isDisordered' = (isDisordered \/ (seen # {} /\ t < newest))
    /\ F' = [F EXCEPT ![l] = @ + 1]
    /\ UNCHANGED <<w, log, base, knows, S, req, reading, asks>>

\* What a settling pass reads of a time.
Sees(l, t) ==
    {i \in log :
        /\ w[i].time = t
        /\ \/ w[i].stream = StreamOf(l, t)
           \/ OldStreams /\ w[i].stream = "old" /\ l = 1}

Settle(l) ==
    /\ IsFree(l) /\ S[l] < F[l]
    /\ LET t == S[l]
           \* Without rule 7 what the fast reading passed in the old stream is not read in the new.
           unread == {i \in All : w[i].stream = "new" /\ pub[i] = 0 /\ ~LateGeneration
                                  /\ LaneOfPartition}
           late == {i \in Sees(l, t) : pub[i] = 0} \ unread
       IN /\ {i \in All : w[i].time = t} \subseteq log
          /\ FreshList => knows \/ t < Switch
          /\ Publish(late)
          /\ req' = IF late = {} THEN req ELSE req \cup {l}
    /\ S' = [S EXCEPT ![l] = @ + 1]
    /\ UNCHANGED <<w, log, base, knows, F, sink, reading, asks, newest, isDisordered>>

Read(l) ==
    /\ IsFree(l)
    /\ \/ l \in req /\ asks' = asks
       \/ l = 1 /\ l \notin req /\ asks > 0 /\ asks' = asks - 1
    /\ req' = req \ {l}
    /\ reading' = [reading EXCEPT ![l] = After(base)]
    /\ UNCHANGED <<w, log, base, knows, F, S, pub, sink, newest, isDisordered>>

Refresh(l) ==
    /\ reading[l] # Nothing
    /\ sink' = reading[l]
    /\ reading' = [reading EXCEPT ![l] = Nothing]
    /\ UNCHANGED <<w, log, base, knows, F, S, pub, req, asks, newest, isDisordered>>

AtRest ==
    /\ log = All /\ knows /\ req = {}
    /\ \A l \in Lanes : F[l] = End /\ S[l] = End /\ reading[l] = Nothing

Rest == AtRest /\ UNCHANGED vars

Next ==
    \/ \E i \in All : BaseShows(i) \/ LogShows(i)
    \/ \E l \in Lanes : Begin(l) \/ Fast(l) \/ Settle(l) \/ Read(l) \/ Refresh(l)
    \/ Learn \/ Rest

Spec == Init /\ [][Next]_vars

NoDuplicate == \A i \in All : pub[i] <= 1
NoLoss == AtRest => \A i \in All : pub[i] = 1
Converges == AtRest => sink = After(All)
InOrder == ~isDisordered
=============================================================================
