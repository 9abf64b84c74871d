-- Chains without critiques (figure 7): each revision is asked for at once.
ALTER TABLE chains ADD COLUMN critiques BOOLEAN DEFAULT true;
