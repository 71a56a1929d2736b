/** The page's entry: shows it and loads the model that the address names. */

import { Page } from './page.ts'
import './style/index.css'

void new Page().load()
