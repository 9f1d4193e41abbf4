//! Seeded cardholders, terminals and fraudsters.
