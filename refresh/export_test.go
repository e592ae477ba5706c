package refresh

// RestAlone lets managers that stand alone rest like sessions of a pool.
func RestAlone() { restAlone = true }

// AtRest reports whether the session is dormant.
func (m *Manager) AtRest() bool {
	_, dormant := m.m.State()
	return dormant
}
