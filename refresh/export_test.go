package refresh

// RestAlone lets managers that stand alone rest like sessions of a pool.
func RestAlone() { restAlone = true }

// AtRest reports whether the session is at rest.
func (m *Manager) AtRest() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.awake == nil
}
