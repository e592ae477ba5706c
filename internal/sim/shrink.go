package sim

import "slices"

// Shrink returns a plan with fewer events that fails as well, by dropping events, then
// sessions and processes. It plays at most budget histories.
func Shrink(plan Plan, budget int, fails func(Plan) bool) Plan {
	try := func(p Plan) bool {
		if budget <= 0 {
			return false
		}
		budget--
		if fails(p) {
			plan = p
			return true
		}
		return false
	}
	for size := max(1, len(plan.Events)/2); ; size /= 2 {
		for from := 0; from < len(plan.Events); {
			p := plan
			p.Events = slices.Delete(slices.Clone(plan.Events), from, min(from+size, len(plan.Events)))
			if !try(p) {
				from += size
			}
		}
		if size <= 1 {
			break
		}
	}
	for plan.Sessions > 1 {
		p := plan
		p.Sessions--
		if !try(p) {
			break
		}
	}
	for plan.Procs > 1 {
		p := plan
		p.Procs--
		if !try(p) {
			break
		}
	}
	if n := len(plan.Events); n > 0 {
		p := plan
		p.Length = min(plan.Length, plan.Events[n-1].At+2*plan.Life)
		try(p)
	}
	return plan
}
